//! Providers that say in JSON what went wrong.

use enginehouse_documents::Code;
use serde_json::{Value, json};

use crate::Error;

/// Where a provider's JSON says what went wrong, and what its own codes mean: for
/// [`crate::Reply::success_or`], and for whatever else carries such an error, like a failed task.
///
/// ```
/// # use enginehouse_sdk::prelude::*;
/// # use serde_json::json;
/// const ERRORS: ErrorBody = ErrorBody {
///     message: "/error/message",
///     code: "/error/code",
///     codes: &[("locked", Code::Busy)],
/// };
/// let body = json!({"error": {"code": "locked", "message": "vm 5 is being backed up"}});
/// let error = ERRORS.read(&body).unwrap();
/// assert!(error.is(Code::Busy) && error.provider_code() == Some("locked"));
/// assert_eq!(error.message(), "vm 5 is being backed up");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ErrorBody {
    /// JSON pointer (RFC 6901) to the message for people.
    pub message: &'static str,
    /// JSON pointer to the provider's own code, a text.
    pub code: &'static str,
    /// The provider's codes that mean something else than the status of their answer.
    pub codes: &'static [(&'static str, Code)],
}

impl ErrorBody {
    /// The error that a document tells of, `provider` for a code that is not in the table; `None` if
    /// there is no message.
    #[must_use]
    pub fn read(&self, document: &Value) -> Option<Error> {
        self.read_or(document, Code::Provider)
    }

    pub(crate) fn read_or(&self, document: &Value, otherwise: Code) -> Option<Error> {
        let message = document.pointer(self.message)?.as_str()?;
        let said = document.pointer(self.code).and_then(Value::as_str);
        let known = self.codes.iter().find(|(code, _)| Some(*code) == said);
        let error = Error::new(known.map_or(otherwise, |(_, code)| *code), message);
        Some(match said {
            Some(said) => error.more(json!({"code": said})),
            None => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERRORS: ErrorBody = ErrorBody {
        message: "/errors/0/text",
        code: "/errors/0/kind",
        codes: &[("away", Code::Unreachable)],
    };

    #[test]
    fn the_code_is_the_tables_and_otherwise_the_status() {
        let told = |kind: Value| json!({"errors": [{"text": "no", "kind": kind}]});
        let code = |kind| ERRORS.read_or(&told(kind), Code::Conflict).unwrap();
        assert!(code(json!("away")).is(Code::Unreachable));
        assert!(code(json!("full")).is(Code::Conflict));
        assert_eq!(code(json!("full")).provider_code(), Some("full"));
        assert_eq!(code(json!(null)).provider_code(), None);
        assert!(
            ERRORS
                .read(&told(json!("full")))
                .unwrap()
                .is(Code::Provider)
        );
    }

    #[test]
    fn without_a_message_there_is_no_error_to_read() {
        for document in [json!({}), json!(null), json!({"errors": [{"text": 5}]})] {
            assert!(ERRORS.read(&document).is_none(), "{document}");
        }
    }
}
