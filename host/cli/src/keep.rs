//! `serve --keep`: how long what is over is kept.

use enginehouse_server::{Keep, Kept};

use crate::error::CommandError;
use crate::time::parse_lifetime;

/// Applies `operations=30d`, `executed=1000000`, `plans=7d,500`, `keys=all` to what is kept. A time bounds
/// by age, a number by count; what is not named stays as it is; `all` bounds by neither.
///
/// # Errors
/// When it is none of these.
pub fn apply(keep: &mut Keep, text: &str) -> Result<(), CommandError> {
    let wrong = || CommandError::Keep {
        text: text.to_owned(),
    };
    let (what, bounds) = text.split_once('=').ok_or_else(wrong)?;
    let kept = match what.trim() {
        "operations" => &mut keep.operations,
        "executed" => &mut keep.executed,
        "plans" => &mut keep.plans,
        "keys" => &mut keep.keys,
        _ => return Err(wrong()),
    };
    let mut bounded = *kept;
    let (mut age, mut most) = (false, false);
    for bound in bounds.split(',').map(str::trim) {
        if bound == "all" && !age && !most {
            (age, most) = (true, true);
            bounded = Kept {
                age: None,
                most: None,
            };
        } else if !most && let Some(number) = number(bound) {
            most = true;
            bounded.most = Some(number);
        } else if !age && let Ok(time) = parse_lifetime(bound) {
            age = true;
            bounded.age = Some(time);
        } else {
            return Err(wrong());
        }
    }
    *kept = bounded;
    Ok(())
}

fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn kept(text: &str) -> Option<Keep> {
        let mut keep = Keep::default();
        apply(&mut keep, text).ok().map(|()| keep)
    }

    #[test]
    fn each_kind_is_bounded_by_age_by_count_or_by_neither() {
        let of = |age: u32, most| Kept::new(DAY * age, most);
        assert_eq!(kept("operations=30d").unwrap().operations, of(30, 100_000));
        assert_eq!(kept("executed=7").unwrap().executed, of(365, 7));
        assert_eq!(kept("plans=2w, 500").unwrap().plans, of(14, 500));
        assert_eq!(kept("plans=500,2w").unwrap().plans, of(14, 500));
        let all = kept("keys=all").unwrap();
        assert_eq!((all.keys.age, all.keys.most), (None, None));
        assert_eq!(all.operations, Keep::default().operations);
    }

    #[test]
    fn what_says_nothing_is_refused() {
        for text in [
            "",
            "operations",
            "operations=",
            "history=3d",
            "plans=3d,4d",
            "plans=3,4",
            "plans=all,3",
            "plans=3,all",
            "plans=-3",
            "plans=1y",
            "plans=3d,",
        ] {
            assert_eq!(kept(text), None, "{text}");
        }
    }
}
