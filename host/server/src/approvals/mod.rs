//! Approvals: what is destroyed where a folder asks for signatures waits for them.
//!
//! **Expected flow.** When the plan of an operation has gated actions and the definition says
//! `approvals`, the operation does not go on with it: people are asked ([`decide`](decide::decide)), it
//! leaves its lane, and what they are to sign is journalled ([`Request`](enginehouse_approval::Request)). Whoever may sign gets the
//! text ([`text`](enginehouse_approval::text())), and hands the signature in ([`sign`](sign::sign)). With the last one it
//! joins its lane again and is planned again: another [`Unit`](enginehouse_reconcile::Unit) than was
//! signed is not carried out, nor is a step that is none of it any more right before it would be
//! sent ([`decide::before_step`]).
//!
//! **Guarantees.** Nothing gated is journalled as begun without enough signatures, of different people,
//! none of them the author, over this very unit. An approval is of one operation, whose number is
//! signed with it and never given again: it is used once. The entry that begins the first step uses it
//! up, and the rest of that operation goes on with it also after a kill. After a restore of the
//! database nothing that was signed before counts.
//!
//! **Assumptions.** Keys and their owners are those of the definition at the time of each check: a key
//! that is taken out stops counting at once.

mod decide;
mod request;
mod sign;

pub(crate) use decide::{before_step, decide, waits_in_plan};
pub(crate) use enginehouse_approval::{
    Request, Verdict, is_used, request_of, signed_of, still_covers, text,
};
pub(crate) use request::{missing_of, shown};
pub(crate) use sign::{refuse, sign};

#[cfg(test)]
mod tests;
