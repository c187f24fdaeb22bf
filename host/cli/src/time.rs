//! Times for people.

use std::time::Duration;

use enginehouse_model::Timestamp;

use crate::error::CommandError;

/// What the clock of this machine says.
#[must_use]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }))
}

/// `2026-11-21 11:47:22Z`
#[must_use]
pub fn date_time(at: Timestamp) -> String {
    let time = i64::try_from(at.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    match time {
        Some(time) => time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        // Beyond the year 9999.
        None => format!("{} ms", at.0),
    }
}

/// `2026-11-21`
#[must_use]
pub fn date(at: Timestamp) -> String {
    let mut text = date_time(at);
    if let Some(day) = text.find(' ').filter(|_| text.ends_with('Z')) {
        text.truncate(day);
    }
    text
}

/// `11:47:22.130`
#[must_use]
pub fn clock(at: Timestamp) -> String {
    let of_day = at.0 % 86_400_000;
    let (seconds, ms) = (of_day / 1000, of_day % 1000);
    format!(
        "{:02}:{:02}:{:02}.{ms:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// `350 ms`, `2.3 s`, `1 min 05 s`, `2 h 03 min`
#[must_use]
pub fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// `90`, `90s`, `5m`, `5min`, `1h`; at most a day.
///
/// # Errors
/// When it is none of these.
pub fn parse_duration(text: &str) -> Result<Duration, CommandError> {
    let wrong = || CommandError::Duration {
        text: text.to_owned(),
    };
    let trimmed = text.trim();
    let end = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let (digits, unit) = trimmed.split_at(end);
    let factor = match unit.trim() {
        "" | "s" | "sec" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match number.checked_mul(factor) {
        Some(seconds) if seconds <= 86_400 => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong()),
    }
}

/// `90d`, `2w`, `12h`, `30m`; at most ten years.
///
/// # Errors
/// When it is none of these, or nothing.
pub fn parse_lifetime(text: &str) -> Result<Duration, CommandError> {
    const YEARS_10_S: u64 = 10 * 366 * 86_400;
    let wrong = || CommandError::Lifetime {
        text: text.to_owned(),
    };
    let trimmed = text.trim();
    let unit = trimmed.chars().last().ok_or_else(wrong)?;
    let factor = match unit {
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let digits = trimmed.trim_end_matches(unit);
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() + 1 == trimmed.len();
    let number: u64 = digits.parse().ok().filter(|_| plain).ok_or_else(wrong)?;
    match number.checked_mul(factor) {
        Some(seconds) if (1..=YEARS_10_S).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong()),
    }
}

/// A moment: `2h` or `7d` before `now`, a day, or date and time with a zone.
///
/// # Errors
/// When it is none of these.
pub fn parse_moment(text: &str, now: Timestamp) -> Result<Timestamp, CommandError> {
    let trimmed = text.trim();
    if let Ok(before) = parse_lifetime(trimmed) {
        let ms = u64::try_from(before.as_millis()).unwrap_or(u64::MAX);
        return Ok(Timestamp(now.0.saturating_sub(ms)));
    }
    // The parser would take the day of a time without a zone, and leave the time out.
    let is_day = trimmed.len() == "2026-11-20".len();
    let day = || trimmed.parse::<jiff::civil::Date>().ok().filter(|_| is_day);
    let at = match trimmed.parse::<jiff::Timestamp>() {
        Ok(at) => Some(at),
        Err(_) => day()
            .and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok())
            .map(|zoned| zoned.timestamp()),
    };
    at.and_then(|at| u64::try_from(at.as_millisecond()).ok())
        .map(Timestamp)
        .ok_or_else(|| CommandError::Moment {
            text: text.to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_ago_or_a_date_or_a_time_with_its_zone() {
        let now = Timestamp(1_795_261_642_130);
        for (text, shown) in [
            ("2h", "2026-11-21 09:47:22Z"),
            (" 7d ", "2026-11-14 11:47:22Z"),
            ("2026-11-20", "2026-11-20 00:00:00Z"),
            ("2026-11-20T08:00:00Z", "2026-11-20 08:00:00Z"),
            ("2026-11-20T08:00:00+02:00", "2026-11-20 06:00:00Z"),
        ] {
            assert_eq!(date_time(parse_moment(text, now).unwrap()), shown, "{text}");
        }
        assert_eq!(parse_moment("3000w", Timestamp(5)).ok(), None);
        assert_eq!(parse_moment("9w", Timestamp(5)).unwrap(), Timestamp(0));
        for text in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-11-20 08:00",
            "1960-01-01",
            "2",
        ] {
            let error = parse_moment(text, now).unwrap_err();
            assert!(matches!(error, CommandError::Moment { .. }), "{text}");
        }
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(date_time(Timestamp(0)), "1970-01-01 00:00:00Z");
        assert_eq!(
            date_time(Timestamp(1_795_261_642_130)),
            "2026-11-21 11:47:22Z"
        );
        assert_eq!(clock(Timestamp(1_795_261_642_130)), "11:47:22.130");
        assert_eq!(date_time(Timestamp(u64::MAX)), format!("{} ms", u64::MAX));
    }

    #[test]
    fn spans_have_two_figures_that_matter() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (2_349, "2.3 s"),
            (59_999, "59.9 s"),
            (65_000, "1 min 05 s"),
            (7_380_000, "2 h 03 min"),
        ] {
            assert_eq!(span(ms), text);
        }
    }

    #[test]
    fn lifetimes_have_a_unit_and_an_end() {
        for (text, hours) in [
            ("12h", 12),
            ("90d", 90 * 24),
            ("2w", 14 * 24),
            ("3660d", 87_840),
        ] {
            let lifetime = Duration::from_secs(hours * 3600);
            assert_eq!(parse_lifetime(text).unwrap(), lifetime, "{text}");
        }
        for text in [
            "", "90", "0d", "3661d", "d", "1dd", "-1d", "+1d", "1.5d", "1y", "1é",
        ] {
            let error = parse_lifetime(text).unwrap_err();
            assert!(matches!(error, CommandError::Lifetime { .. }), "{text}");
        }
        assert_eq!(date(Timestamp(1_795_261_642_130)), "2026-11-21");
    }

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("5m", 300),
            ("5 min", 300),
            ("1h", 3600),
        ] {
            assert_eq!(
                parse_duration(text).unwrap(),
                Duration::from_secs(seconds),
                "{text}"
            );
        }
        for text in ["", "s", "5d", "-1", "1.5h", "25h", "99999999999999999999"] {
            let error = parse_duration(text).unwrap_err();
            assert!(matches!(error, CommandError::Duration { .. }), "{text}");
        }
    }
}
