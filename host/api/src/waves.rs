//! How a folder's machines are gone through: in waves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How many machines are in a wave. Written `5`, `10%` or `rest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WaveSize {
    /// So many; 1 or more.
    Count(u32),
    /// So many of a hundred of all, rounded up; 1 to 100.
    Percent(u8),
    /// All that are left.
    Rest,
}

impl WaveSize {
    /// What a folder is reconfigured in where nothing else is said: one machine, then a tenth, then
    /// the rest.
    pub const DEFAULT: [Self; 3] = [Self::Count(1), Self::Percent(10), Self::Rest];

    /// How many machines each wave has, of `total`. What no wave names comes in one more at the end;
    /// a wave that would be empty is none.
    #[must_use]
    pub fn split(waves: &[Self], total: usize) -> Vec<usize> {
        let mut left = total;
        let mut sizes = Vec::new();
        for wave in waves.iter().chain([&Self::Rest]) {
            let wanted = match wave {
                Self::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
                Self::Percent(percent) => total.saturating_mul(usize::from(*percent)).div_ceil(100),
                Self::Rest => left,
            };
            let size = wanted.min(left);
            if size > 0 {
                sizes.push(size);
            }
            left -= size;
        }
        sizes
    }
}

impl fmt::Display for WaveSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Rest => f.write_str("rest"),
        }
    }
}

/// What a wave's size is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no size of a wave: write a number of machines (`5`), a share of them (`10%`), or `rest`"
)]
pub struct WaveSizeError(String);

impl FromStr for WaveSize {
    type Err = WaveSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || WaveSizeError(text.to_owned());
        let text = text.trim();
        if text == "rest" {
            return Ok(Self::Rest);
        }
        if let Some(percent) = text.strip_suffix('%') {
            let percent: u8 = percent.parse().map_err(|_| wrong())?;
            return match percent {
                1..=100 => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            };
        }
        match text.parse() {
            Ok(0) | Err(_) => Err(wrong()),
            Ok(count) => Ok(Self::Count(count)),
        }
    }
}

impl TryFrom<String> for WaveSize {
    type Error = WaveSizeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WaveSize> for String {
    fn from(size: WaveSize) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(text: &str, total: usize) -> Vec<usize> {
        let waves: Vec<WaveSize> = text.split(',').map(|one| one.parse().unwrap()).collect();
        WaveSize::split(&waves, total)
    }

    #[test]
    fn all_machines_are_in_one_wave_each() {
        assert_eq!(sizes("1,10%,rest", 50), [1, 5, 44]);
        assert_eq!(sizes("1,10%,rest", 11), [1, 2, 8]);
        assert_eq!(sizes("1,10%,rest", 2), [1, 1]);
        assert_eq!(sizes("1,10%,rest", 1), [1]);
        assert_eq!(sizes("2,2", 9), [2, 2, 5]);
        assert_eq!(sizes("100%", 9), [9]);
        assert_eq!(sizes("rest,5", 9), [9]);
        assert_eq!(sizes("1", 0), [0; 0]);
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_is() {
        for wrong in ["0", "0%", "101%", "-1", "some", "", "1.5"] {
            let error = wrong.parse::<WaveSize>().unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("10%"), "{error}");
        }
        for right in ["1", "10%", "rest"] {
            assert_eq!(right.parse::<WaveSize>().unwrap().to_string(), right);
        }
    }
}
