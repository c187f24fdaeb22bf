//! What a person sees of each command, against a server whose answers are written down here.

mod connection;
mod definitions;
mod deploy;
mod documents;
mod errors;
mod help;
mod listings;
mod operations;
mod scripted;
