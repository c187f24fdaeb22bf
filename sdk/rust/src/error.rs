//! What goes wrong in an engine.

use std::fmt;

use enginehouse_documents::{Code, Problem, ProblemDetail};
use serde_json::Value;

use crate::Object;

/// What the functions of an engine return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A [`Problem`] on its way to the host: a code for programs, a message for people, and details.
///
/// The constructors are the codes; `wit/engine.wit` says under `problem` what each means, and which
/// of them promise that nothing was changed (`busy`, `session-expired`). A message keeps the
/// provider's own words where there are any, is one line, and never holds a secret.
///
/// ```
/// # use enginehouse_sdk::prelude::*;
/// let error = Error::not_found("template 9000 does not exist")
///     .field("base_image")
///     .hint("name a template of this hypervisor, or give none");
/// assert_eq!(error.code(), Code::NotFound);
/// assert_eq!(error.to_string(), "template 9000 does not exist");
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Error(Box<Problem>);

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident = $code:ident,)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(message: impl fmt::Display) -> Self {
            Self::new(Code::$code, message)
        }
    )*};
}

impl Error {
    /// An error of any code. Line breaks in the message become `; `.
    #[must_use]
    pub fn new(code: Code, message: impl fmt::Display) -> Self {
        Self(Box::new(Problem::new(code, one_line(&message.to_string()))))
    }

    constructors! {
        /// The request or the definition is wrong; it will fail again.
        invalid = Invalid,
        /// Credentials or permissions.
        denied = Denied,
        /// The object does not exist.
        not_found = NotFound,
        /// Something that is not ours is in the way, or somebody else changed it first.
        conflict = Conflict,
        /// Locked, or too many tasks: the host tries again later. Nothing was changed.
        busy = Busy,
        /// No connection, or no answer in time.
        unreachable = Unreachable,
        /// This provider or this engine cannot do it.
        unsupported = Unsupported,
        /// The host logs in again and repeats. Nothing was changed.
        session_expired = SessionExpired,
        /// Anything else that the provider says.
        provider = Provider,
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.0.detail.hint = Some(hint.to_string());
        self
    }

    /// The member of the definition, or the parameter of the request, that is at fault.
    #[must_use]
    pub fn field(mut self, field: impl fmt::Display) -> Self {
        self.0.detail.field = Some(field.to_string());
        self
    }

    /// HTTP status of the answer behind it.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.0.detail.status = Some(status);
        self
    }

    /// Something that exists now although the action failed.
    #[must_use]
    pub fn created(mut self, object: impl Into<Object>) -> Self {
        let Object { kind, id } = object.into();
        self.0.detail.created.push(format!("{kind} {id}"));
        self
    }

    /// Last lines of the provider's task log.
    #[must_use]
    pub fn lines<L: Into<String>>(mut self, lines: impl IntoIterator<Item = L>) -> Self {
        self.0
            .detail
            .lines
            .extend(lines.into_iter().map(Into::into));
        self
    }

    /// Anything else that a program may want to know.
    #[must_use]
    pub fn more(mut self, more: Value) -> Self {
        self.0.detail.more = Some(more);
        self
    }

    /// The provider's own code, where an [`crate::ErrorBody`] has read it.
    #[must_use]
    pub fn provider_code(&self) -> Option<&str> {
        self.0.detail.more.as_ref()?.get("code")?.as_str()
    }

    /// Puts what was being done before the message: `cloning 9000: storage is full`.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.0.message = format!("{}: {}", one_line(&doing.to_string()), self.0.message);
        self
    }

    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    #[must_use]
    pub fn is(&self, code: Code) -> bool {
        self.0.code == code
    }

    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    #[must_use]
    pub fn detail(&self) -> &ProblemDetail {
        &self.0.detail
    }

    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.0
    }

    #[must_use]
    pub fn into_problem(self) -> Problem {
        *self.0
    }
}

/// The contract wants one line; providers like to end theirs with a newline.
fn one_line(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut one = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        one.push_str("; ");
        one.push_str(line);
    }
    one
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        error.into_problem()
    }
}

/// JSON that an engine reads comes from its provider: the code is `provider`.
impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::provider(format_args!("unexpected JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_several_lines_becomes_one() {
        let error = Error::provider("got no worker upid\n  start worker failed \n");
        assert_eq!(error.message(), "got no worker upid; start worker failed");
    }

    #[test]
    fn details_reach_the_problem() {
        let problem = Error::busy("VM is locked (backup)")
            .context("configuring 105")
            .status(500)
            .field("memory")
            .created(Object::machine("105"))
            .lines(["a", "b"])
            .into_problem();
        assert_eq!(problem.code, Code::Busy);
        assert_eq!(problem.message, "configuring 105: VM is locked (backup)");
        assert_eq!(problem.detail.status, Some(500));
        assert_eq!(problem.detail.created, ["machine 105"]);
        assert_eq!(problem.detail.lines, ["a", "b"]);
    }

    #[test]
    fn broken_json_is_what_the_provider_did() {
        let error: Error = serde_json::from_str::<u8>("{").unwrap_err().into();
        assert!(error.is(Code::Provider));
    }
}
