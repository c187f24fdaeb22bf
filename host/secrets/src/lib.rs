//! Secrets at rest: keys, encryption, rotation.
//!
//! A secret is kept as a [`Sealed`] document: XChaCha20-Poly1305 under a [`SecretKey`] that lives
//! apart from the database, bound to the secret's name. Whoever has the database alone has nothing,
//! and whoever can write into it can neither make a secret nor give one another's name.
//!
//! The host opens what it has sealed itself, so a symmetric key is all that is needed. See
//! `docs/decisions` for why it is not `age`.
//!
//! | file | idea |
//! | --- | --- |
//! | `key` | a key, its text form, and the id by which documents name it |
//! | `sealed` | one secret, encrypted |
//! | `keyring` | the key to seal with, and those that still open |
//! | `key_file` | where a key is on disk, and how it is exchanged so that no kill loses one |

mod key;
mod key_file;
mod keyring;
mod sealed;

pub use key::{KeyError, KeyId, SecretKey};
pub use key_file::{KeyFile, KeyFileError};
pub use keyring::{Keyring, OpenError};
pub use sealed::{BrokenError, RandomError, Sealed};
pub use zeroize::Zeroizing;
