//! Tokens: what they look like, what is kept of them, and when one is good.
//!
//! A token is `eh_ID_SECRET`, so that a scanner for leaked secrets can know it. The secret has 256
//! random bits: its hash needs no salt and no slowness, nobody can try them all. Kept is the hash
//! of the whole text; two hashes are compared in constant time. The id is no secret.

use std::fmt;
use std::str::FromStr;

use enginehouse_api::TokenState;
use enginehouse_model::Timestamp;
use enginehouse_tree::Subject;
use serde::{Deserialize, Serialize};

use crate::house::State;

/// Version of the stored document.
pub(crate) const TOKEN_VERSION: u16 = 1;

const PREFIX: &str = "eh";
/// Hexadecimal digits of an id: 48 bits.
const ID_DIGITS: usize = 12;
/// Bytes of a secret.
const SECRET_BYTES: usize = 32;
/// What is longer is no token: it is not even hashed.
const LONGEST: usize = 512;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Tokens that are over are kept so long, to be told apart from those that never were.
const KEPT_MS: u64 = 90 * DAY_MS;

/// Which token: twelve hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct TokenId(String);

impl FromStr for TokenId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let fits =
            text.len() == ID_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(text.to_owned())).ok_or(())
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A token as its holder has it. Never printed.
pub(crate) struct TokenText(String);

impl TokenText {
    /// What a request shows. `None`: too long to be one.
    pub(crate) fn shown(text: &str) -> Option<Self> {
        (text.len() <= LONGEST).then(|| Self(text.to_owned()))
    }

    /// A new one, for the installation itself: it has a name instead of an id.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(crate) fn of_installation() -> Result<Self, getrandom::Error> {
        Ok(Self(format!(
            "{PREFIX}_admin_{}",
            random_hex(SECRET_BYTES)?
        )))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn hash(&self) -> blake3::Hash {
        blake3::hash(self.0.as_bytes())
    }

    fn id(&self) -> Option<TokenId> {
        let rest = self.0.strip_prefix(PREFIX)?.strip_prefix('_')?;
        rest.split_once('_')?.0.parse().ok()
    }
}

fn random_hex(bytes: usize) -> Result<String, getrandom::Error> {
    let mut random = vec![0_u8; bytes];
    getrandom::fill(&mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Token {
    /// BLAKE3 of the token, hexadecimal.
    hash: String,
    pub subject: Subject,
    pub created_at: Timestamp,
    pub created_by: String,
    /// The first moment at which it is no longer good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Beginning of the last day on which it was used. A day, so that it is not written all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_day: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revoked>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revoked {
    pub at: Timestamp,
    pub by: String,
}

/// A token that was just made, with what is kept of it.
pub(crate) struct NewToken {
    pub id: TokenId,
    pub text: TokenText,
    pub token: Token,
}

impl NewToken {
    /// # Errors
    /// When the system has no randomness to give.
    pub(crate) fn make(
        subject: Subject,
        created_by: &str,
        created_at: Timestamp,
        expires_at: Option<Timestamp>,
        note: Option<String>,
    ) -> Result<Self, getrandom::Error> {
        let id = TokenId(random_hex(ID_DIGITS / 2)?);
        let text = TokenText(format!("{PREFIX}_{id}_{}", random_hex(SECRET_BYTES)?));
        let token = Token {
            hash: text.hash().to_hex().to_string(),
            subject,
            created_at,
            created_by: created_by.to_owned(),
            expires_at,
            last_used_day: None,
            revoked: None,
            note,
        };
        Ok(Self { id, text, token })
    }
}

/// Whom a token that is good stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Installation,
    Issued {
        id: TokenId,
        subject: Subject,
        /// It was not used before on this day, which begins then.
        first_on: Option<Timestamp>,
    },
}

/// Why a token is not good. Only who has the token whole is told that there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusedToken {
    Unknown,
    Expired,
    Revoked,
}

impl Token {
    pub(crate) fn state(&self, now: Timestamp) -> TokenState {
        if self.revoked.is_some() {
            TokenState::Revoked
        } else if self.expires_at.is_some_and(|end| now >= end) {
            TokenState::Expired
        } else {
            TokenState::Valid
        }
    }

    pub(crate) fn view(&self, id: &TokenId, now: Timestamp) -> enginehouse_api::Token {
        enginehouse_api::Token {
            id: id.to_string(),
            subject: self.subject.to_string(),
            state: self.state(now),
            created_at: self.created_at,
            created_by: self.created_by.clone(),
            expires_at: self.expires_at,
            last_used_day: self.last_used_day,
            revoked_at: self.revoked.as_ref().map(|revoked| revoked.at),
            revoked_by: self.revoked.as_ref().map(|revoked| revoked.by.clone()),
            note: self.note.clone(),
        }
    }

    /// Whether it has been over for so long that nobody asks what became of it.
    pub(crate) fn is_forgotten(&self, now: Timestamp) -> bool {
        let ended = match (&self.revoked, self.expires_at) {
            (Some(revoked), _) => Some(revoked.at),
            (None, expires_at) => expires_at,
        };
        ended.is_some_and(|ended| now.0.saturating_sub(ended.0) > KEPT_MS)
    }

    fn is(&self, shown: &blake3::Hash) -> bool {
        // Comparing two `blake3::Hash` takes the same time wherever they differ.
        blake3::Hash::from_hex(&self.hash).is_ok_and(|hash| hash == *shown)
    }
}

impl State {
    /// Whom a token stands for.
    pub(crate) fn holder(
        &self,
        installation: &blake3::Hash,
        shown: &TokenText,
        now: Timestamp,
    ) -> Result<Holder, RefusedToken> {
        let hash = shown.hash();
        if hash == *installation {
            return Ok(Holder::Installation);
        }
        let found = shown.id().and_then(|id| Some((self.tokens.get(&id)?, id)));
        let Some((token, id)) = found.filter(|(token, _)| token.is(&hash)) else {
            return Err(RefusedToken::Unknown);
        };
        match token.state(now) {
            TokenState::Revoked => Err(RefusedToken::Revoked),
            TokenState::Expired => Err(RefusedToken::Expired),
            TokenState::Valid => {
                let today = Timestamp(now.0 - now.0 % DAY_MS);
                Ok(Holder::Issued {
                    id,
                    subject: token.subject.clone(),
                    first_on: (token.last_used_day < Some(today)).then_some(today),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(expires_at: Option<Timestamp>) -> NewToken {
        let subject = "ann".parse().unwrap();
        NewToken::make(subject, "admin", Timestamp(1000), expires_at, None).unwrap()
    }

    #[test]
    fn a_token_has_the_form_that_scanners_look_for_and_only_its_hash_is_kept() {
        let new = made(None);
        let parts: Vec<&str> = new.text.as_str().split('_').collect();
        assert_eq!((parts[0], parts[1]), ("eh", new.id.to_string().as_str()));
        assert_eq!(parts[2].len(), 64);
        assert_eq!(new.text.id(), Some(new.id.clone()));
        let kept = serde_json::to_string(&new.token).unwrap();
        assert!(!kept.contains(parts[2]), "{kept}");
        assert_ne!(new.text.as_str(), made(None).text.as_str());
    }

    #[test]
    fn another_secret_with_a_known_id_is_another_token() {
        let new = made(None);
        assert!(new.token.is(&new.text.hash()));
        let forged = format!("eh_{}_{}", new.id, "0".repeat(64));
        assert!(!new.token.is(&TokenText(forged).hash()));
        for odd in [
            "",
            "eh",
            "eh__",
            "eh_abc",
            "eh_ABCDEFABCDEF_x",
            "eh_abcdefabcdeg_x",
            "Bearer",
        ] {
            assert_eq!(TokenText(odd.to_owned()).id(), None, "{odd}");
        }
        assert!(TokenText::shown(&"a".repeat(513)).is_none());
    }

    #[test]
    fn a_token_ends_at_the_moment_it_expires_and_revoked_is_said_before_expired() {
        let mut token = made(Some(Timestamp(5000))).token;
        assert_eq!(token.state(Timestamp(4999)), TokenState::Valid);
        assert_eq!(token.state(Timestamp(5000)), TokenState::Expired);
        token.revoked = Some(Revoked {
            at: Timestamp(6000),
            by: "admin".to_owned(),
        });
        assert_eq!(token.state(Timestamp(7000)), TokenState::Revoked);
        assert!(!token.is_forgotten(Timestamp(6000 + KEPT_MS)));
        assert!(token.is_forgotten(Timestamp(6001 + KEPT_MS)));
        assert!(!made(None).token.is_forgotten(Timestamp(u64::MAX)));
    }
}
