//! Runs the queue's commands; REST, events, access control.
