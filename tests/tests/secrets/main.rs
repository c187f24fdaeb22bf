//! Passwords through the real binary: where they go, and that they are nowhere else.

#[cfg(test)]
mod at_rest;
#[cfg(test)]
mod defaults;
#[cfg(test)]
mod key;
#[cfg(test)]
mod names;
