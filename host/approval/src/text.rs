//! The text that people sign: what is destroyed, where, by whose order, and until when.
//!
//! It is made of what is journalled and of nothing else, so it is the same bytes each time. One text may
//! be of many units, those of an order on a folder; each of them is whole in it.

use std::fmt::Write as _;

use enginehouse_model::{OperationId, Timestamp};

use crate::request::Request;

/// The first line. Another way to write the text gets another one.
const FIRST: &str = "enginehouse approval 1";
const OPERATION: &str = "operation ";

/// The text of these units, in the order of their operations; none of none.
#[must_use]
pub fn text(units: &[(OperationId, Request)]) -> Option<String> {
    let (_, first) = units.first()?;
    let machines = match units.len() {
        1 => "1 machine".to_owned(),
        many => format!("{many} machines"),
    };
    let mut text = format!(
        "{FIRST}\n\
         installation {}, epoch {}\n\
         \n\
         Who signs this approves what is written here, of {machines}, each once and in time.\n",
        first.installation, first.epoch
    );
    for (number, request) in units {
        // What is written into a text does not fail.
        let _ = write!(
            text,
            "\n{OPERATION}{number}: {}, ordered by {}, until {}\n{}",
            request.kind,
            request.author,
            moment(request.until),
            request.unit
        );
    }
    Some(text)
}

/// The operations that a text names, as it may have been made by [`text`].
#[must_use]
pub fn units_in(text: &str) -> Vec<OperationId> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(OPERATION));
    lines
        .filter_map(|line| line.split_once(':')?.0.parse().ok())
        .map(OperationId)
        .collect()
}

/// `2026-11-21T11:47:22Z`; what is below a second is in the number behind it.
fn moment(at: Timestamp) -> String {
    format!("{} ({} ms)", at.utc(), at.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_those_of_the_calendar() {
        let shown = |ms| moment(Timestamp(ms));
        assert_eq!(shown(0), "1970-01-01T00:00:00Z (0 ms)");
        assert_eq!(
            shown(951_782_400_000),
            "2000-02-29T00:00:00Z (951782400000 ms)"
        );
        assert_eq!(
            shown(1_790_000_000_123),
            "2026-09-21T14:13:20Z (1790000000123 ms)"
        );
        assert_eq!(
            shown(4_102_444_799_999),
            "2099-12-31T23:59:59Z (4102444799999 ms)"
        );
        // Far beyond what anybody orders: nothing breaks.
        assert!(shown(u64::MAX).ends_with("(18446744073709551615 ms)"));
    }
}
