//! The engine runtime against a real component (`tests/engines/abuse`) and a real HTTP server.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod growth;
#[cfg(test)]
mod once;
#[cfg(test)]
mod pace;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod session;
#[cfg(test)]
mod setup;
#[cfg(test)]
mod tls;
