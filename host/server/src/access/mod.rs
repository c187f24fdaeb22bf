//! Who asks, and whether they may.
//!
//! Every request comes from a [`Caller`]: a subject that a token stands for. A caller is the only way
//! to the house that a handler has, and it notes which permissions were asked for, so that the gate
//! of the REST API can tell a handler that forgot to ask.
//!
//! What a caller may not read does not exist for it: hidden and missing are one answer.

mod caller;
mod moving;
mod orders;
mod tokens;

pub(crate) use caller::Caller;
pub(crate) use moving::{check_move, still_may_move};
pub(crate) use orders::{changes_governed_keys, check_order, still_governs};
pub(crate) use tokens::{
    Holder, NewToken, RefusedToken, Revoked, TOKEN_VERSION, Token, TokenId, TokenText,
};
