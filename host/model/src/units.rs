//! Sizes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// A size in bytes. Written by people with a unit: `8GiB`, `8GB`, `8G` and `8192MiB` are the same,
/// as hypervisors' own pages have it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BytesError {
    #[error("a size needs a unit, as in {0}MiB or {0}GiB")]
    NoUnit(String),
    #[error("`{0}` is no unit of size: use KiB, MiB, GiB or TiB")]
    Unit(String),
    #[error("`{0}` is no size: write it as 8GiB or 512MiB")]
    Form(String),
    #[error("`{0}` is larger than 16 EiB")]
    TooLarge(String),
}

impl Bytes {
    /// In MiB where that is whole, however large: what hypervisors' pages show of memory, and what
    /// two sizes are compared in.
    #[must_use]
    pub fn in_mib(self) -> String {
        if self.0.is_multiple_of(MIB) {
            format!("{} MiB", self.0 / MIB)
        } else {
            format!("{} B", self.0)
        }
    }
}

impl FromStr for Bytes {
    type Err = BytesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shown = || text.chars().take(40).collect::<String>();
        let trimmed = text.trim_ascii();
        let digits_end = trimmed
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(digits_end);
        if digits.is_empty() {
            return Err(BytesError::Form(shown()));
        }
        let number: u64 = digits.parse().map_err(|_| BytesError::TooLarge(shown()))?;
        let factor = match unit.trim_ascii_start().to_ascii_lowercase().as_str() {
            "" => return Err(BytesError::NoUnit(shown())),
            "b" => 1,
            "k" | "kb" | "kib" => KIB,
            "m" | "mb" | "mib" => MIB,
            "g" | "gb" | "gib" => GIB,
            "t" | "tb" | "tib" => TIB,
            other if other.starts_with('.') => return Err(BytesError::Form(shown())),
            _ => return Err(BytesError::Unit(unit.trim().chars().take(40).collect())),
        };
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or_else(|| BytesError::TooLarge(shown()))
    }
}

/// In GiB where that is whole, else in MiB where that is whole, else in bytes (`4294967297 B`).
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        if bytes >= GIB && bytes.is_multiple_of(GIB) {
            write!(f, "{} GiB", bytes / GIB)
        } else if bytes.is_multiple_of(MIB) {
            write!(f, "{} MiB", bytes / MIB)
        } else {
            write!(f, "{bytes} B")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_size_are_equal() {
        for text in ["8GiB", "8GB", "8G", "8192MiB", "8 GiB", "8gib"] {
            assert_eq!(text.parse(), Ok(Bytes(8 * GIB)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_says_how_to_write_it() {
        assert_eq!("8".parse::<Bytes>(), Err(BytesError::NoUnit("8".into())));
        assert_eq!("8GX".parse::<Bytes>(), Err(BytesError::Unit("GX".into())));
        assert_eq!("".parse::<Bytes>(), Err(BytesError::Form(String::new())));
        assert_eq!(
            "1.5G".parse::<Bytes>(),
            Err(BytesError::Form("1.5G".into()))
        );
        assert_eq!("-1G".parse::<Bytes>(), Err(BytesError::Form("-1G".into())));
        assert_eq!(
            "99999999999999T".parse::<Bytes>(),
            Err(BytesError::TooLarge("99999999999999T".into()))
        );
    }

    #[test]
    fn sizes_are_shown_in_the_largest_whole_unit() {
        assert_eq!(Bytes(8 * GIB).to_string(), "8 GiB");
        assert_eq!(Bytes(2048 * MIB).to_string(), "2 GiB");
        assert_eq!(Bytes(512 * MIB).to_string(), "512 MiB");
        assert_eq!(Bytes(0).to_string(), "0 MiB");
        assert_eq!(Bytes(4 * GIB + 1).to_string(), "4294967297 B");
    }
}
