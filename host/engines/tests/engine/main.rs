//! The engine runtime against a real component (`tests/engines/abuse`) and a real HTTP server.

mod contract;
mod egress;
mod growth;
mod once;
mod provider;
mod sandbox;
mod session;
mod setup;
mod tls;
