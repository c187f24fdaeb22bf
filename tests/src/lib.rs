//! End to end tests: real peers, crash, abuse, conformance.
