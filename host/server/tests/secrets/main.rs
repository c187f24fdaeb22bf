//! Secrets of a data directory that somebody else has written: an older version, or a repair.

#[cfg(test)]
mod stored;
