//! `kill -9` of the host at every stage of what it does, and what the next one makes of it.
//!
//! fakepve stands behind the proxy that hides whose a machine is while it is being cloned; its
//! storage is slow, so that there is a middle of a task to be killed in. Moments are events on the
//! wire, which the proxy holds still until the host is dead, and a sweep over the time after the
//! acknowledgement.

mod again;
mod changes;
mod clone;
mod doubt;
mod journal;
mod moment;
mod scene;
