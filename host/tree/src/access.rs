//! Who may do what: subjects, roles, and the permissions that roles give.
//!
//! A grant gives a subject a role on a node, and with it on all that is below. Permissions only add
//! up: a node can give more than the folders above it, never less.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// One thing that a caller may be allowed to do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// See the node, its operations, plans and logs.
    Read,
    /// Order what changes the node or its machine, but for what `Govern` is needed for.
    Operate,
    /// Say yes to what others ordered.
    Approve,
    /// Change who may do what, and the keys of a definition that are governed.
    Govern,
}

impl Permission {
    pub const ALL: [Self; 4] = [Self::Read, Self::Operate, Self::Approve, Self::Govern];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Approve => "approve",
            Self::Govern => "govern",
        }
    }

    /// The least role that gives it.
    #[must_use]
    pub fn role(self) -> Role {
        match self {
            Self::Read => Role::Viewer,
            Self::Operate => Role::Operator,
            Self::Approve => Role::Approver,
            Self::Govern => Role::Admin,
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Operate => 2,
            Self::Approve => 4,
            Self::Govern => 8,
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u8);

impl Permissions {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(15);

    #[must_use]
    pub fn allow(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[must_use]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL
            .into_iter()
            .filter(move |permission| self.allow(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |all, one| all | one.bit()))
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A bundle of permissions with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads, and orders what changes machines.
    Operator,
    /// Reads, and says yes to what others ordered.
    Approver,
    /// Everything.
    Admin,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    #[must_use]
    pub fn permissions(self) -> Permissions {
        let given: &[Permission] = match self {
            Self::Viewer => &[Permission::Read],
            Self::Operator => &[Permission::Read, Permission::Operate],
            Self::Approver => &[Permission::Read, Permission::Approve],
            Self::Admin => &Permission::ALL,
        };
        given.iter().copied().collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is none of the roles.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is no role; there are viewer, operator, approver and admin")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| RoleError(text.chars().take(80).collect()))
    }
}

/// The name of a person or a program: 1 to 128 of `a-z`, `0-9`, `.`, `_`, `-`, `+` and `@`, beginning
/// with a letter or digit. Lower case alone, so that no two differ in what few notice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

/// Longest name of a subject, bytes.
const SUBJECT_MAX: usize = 128;

/// A text that cannot be the name of a subject.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubjectError {
    #[error("the name of a person or program has 1 to {SUBJECT_MAX} characters, this one {0}")]
    Length(usize),
    #[error(
        "`{0}` cannot be the name of a person or program: use lower case letters, digits, `.`, `_`, `-`, `+` and `@`, beginning with a letter or digit, as in `ann` or `ci@build.example.org`"
    )]
    Characters(String),
}

impl Subject {
    /// Whom the installation's own token stands for. It has every permission everywhere, whatever is
    /// granted: who holds the data directory cannot be locked out.
    #[must_use]
    pub fn installation() -> Self {
        Self(Arc::from("admin"))
    }

    #[must_use]
    pub fn is_installation(&self) -> bool {
        &*self.0 == "admin"
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        if !(1..=SUBJECT_MAX).contains(&text.len()) {
            return Err(SubjectError::Length(text.chars().count()));
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let fits = text.starts_with(plain)
            && text
                .chars()
                .all(|c| plain(c) || matches!(c, '.' | '_' | '-' | '+' | '@'));
        if fits {
            Ok(Self(text.into()))
        } else {
            // Escaped: a control character must not reach a terminal by way of an error.
            Err(SubjectError::Characters(text.escape_debug().collect()))
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for Subject {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The roles that a node gives to subjects. No subject is in it without a role.
pub type Grants = BTreeMap<Subject, BTreeSet<Role>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_give_what_their_table_says() {
        let table: Vec<String> = Role::ALL
            .iter()
            .map(|role| {
                let given: Vec<&str> = role.permissions().iter().map(Permission::as_str).collect();
                format!("{role}: {}", given.join(", "))
            })
            .collect();
        assert_eq!(
            table,
            [
                "viewer: read",
                "operator: read, operate",
                "approver: read, approve",
                "admin: read, operate, approve, govern",
            ]
        );
        for permission in Permission::ALL {
            assert!(permission.role().permissions().allow(permission));
        }
        assert_eq!(Role::Admin.permissions(), Permissions::ALL);
        assert!(Permissions::NONE.is_none());
    }

    #[test]
    fn odd_characters_are_no_name_of_a_subject() {
        let long = "a".repeat(129);
        for wrong in [
            "",
            "Ann",
            "an n",
            "ann\n",
            "-ann",
            "@ann",
            "änn",
            "ann/web",
            "ann:x",
            "a\u{202e}b",
            "\0",
            "..",
            &long,
        ] {
            let error = wrong.parse::<Subject>().unwrap_err();
            let text = error.to_string();
            assert!(!text.chars().any(char::is_control), "{text}");
            assert!(serde_json::from_value::<Subject>(serde_json::json!(wrong)).is_err());
        }
        for right in [
            "ann",
            "ci@build.example.org",
            "4ops",
            "a+b_c-d.e",
            &long[..128],
        ] {
            let subject: Subject = right.parse().unwrap();
            assert_eq!(subject.to_string(), right);
        }
        assert!(Subject::installation().is_installation());
        let own = Subject::installation().to_string();
        assert!(own.parse::<Subject>().unwrap().is_installation());
    }

    #[test]
    fn another_word_is_no_role() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
        }
        let error = "owner".parse::<Role>().unwrap_err();
        assert!(error.to_string().contains("viewer, operator"), "{error}");
    }
}
