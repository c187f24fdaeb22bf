//! What a person sees of each command, against a server whose answers are written down here.

#[cfg(test)]
mod access;
mod approvals;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod connection;
#[cfg(test)]
mod definitions;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod help;
#[cfg(test)]
mod listings;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod scripted;
