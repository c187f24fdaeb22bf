//! Approvals: what is asked, SSH signatures over it, whose they are, and whether what they are for may be done.
//!
//! ```text
//! Signature::parse(armoured) -> Signature          what `ssh-keygen -Y sign` writes
//! PublicKey::parse(line) -> PublicKey              a line as in `authorized_keys`
//! signature.verify(&key, NAMESPACE, text)          whether that key made it, over these bytes
//! Quorum::of(need, lines, author)                  who may sign, of the keys of a folder
//! quorum.sign(signature, text) -> Signer           whose signature it is
//! quorum.missing(signers)                          how many signatures are still to come
//! decide(asked, terms, operation, unit, now)       whether an operation may carry out its plan
//! text(units)                                      what people sign
//! before_step(asked, epoch, operation, …)          whether a step may begin
//! still_covers(operation, planned, grounds)        whether one that was put off may be tried again
//! ```
//!
//! **The format** is SSHSIG (`PROTOCOL.sshsig` of OpenSSH): the namespace is signed with the text, so
//! a signature that was made for a git commit or a login says nothing here. Keys are those that
//! `ring` can verify: Ed25519, ECDSA with P-256 and P-384, RSA from 2048 bits with SHA-2, and the
//! security-key kinds of Ed25519 and P-256, which have to say that somebody touched them.
//!
//! **Who is who.** A key belongs to whom its comment names, `ann` for `ann@laptop`: the same name is the
//! same person on whatever machine. A key without a comment is a person of its own. One person signs
//! once, however many keys are theirs, and who ordered something does not approve it.
//!
//! No clock, no I/O.

mod asked;
mod decide;
mod key;
#[cfg(test)]
mod made;
mod quorum;
mod request;
mod signature;
mod text;
mod wire;

pub use asked::Asked;
pub use decide::{Terms, Verdict, before_step, decide, is_used, still_covers};
pub use key::{KeyError, PublicKey};
pub use quorum::{Quorum, Refused, Signer};
pub use request::{Request, Signed, request_of, signed_of};
pub use signature::{NAMESPACE, Signature, SignatureError};
pub use text::{text, units_in};
