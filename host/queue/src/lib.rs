//! Operations, lanes, slots, retries and polls as pure code.
