//! Reading APIs that are not sure of their types.
//!
//! Many providers send `"2"` for 2 and `1` for true, and change their minds between versions. Use as
//! `#[serde(deserialize_with = "loose::number")]`; the forms that begin with `maybe_` take `null` and
//! an empty string as `None`, and want `#[serde(default)]` beside them for a member that may be
//! absent.
//!
//! ```
//! # use enginehouse_sdk::prelude::*;
//! #[derive(Deserialize)]
//! struct Guest {
//!     #[serde(deserialize_with = "loose::number")]
//!     vmid: u64,
//!     #[serde(default, deserialize_with = "loose::flag")]
//!     template: bool,
//!     #[serde(default, deserialize_with = "loose::maybe_number")]
//!     cores: Option<u32>,
//! }
//! let guest: Guest = serde_json::from_str(r#"{"vmid":"105","template":1}"#)?;
//! assert_eq!((guest.vmid, guest.template, guest.cores), (105, true, None));
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{Error, Unexpected, Visitor};

/// A number, a string with a number in it, or for whole numbers a float without a fraction.
///
/// # Errors
/// Anything else, and a number that does not fit.
pub fn number<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Sure(Number(PhantomData)))
}

/// Like [`number()`]; `null` and `""` are `None`.
///
/// # Errors
/// As [`number()`].
pub fn maybe_number<'de, T: FromStr, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Maybe(Number(PhantomData)))
}

/// A bool, 0 or 1, or one of `0 1 true false yes no on off` in any case; `null` and `""` are false.
///
/// # Errors
/// Anything else.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(maybe_flag(deserializer)?.unwrap_or(false))
}

/// Like [`flag()`]; `null` and `""` are `None`.
///
/// # Errors
/// As [`flag()`].
pub fn maybe_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    deserializer.deserialize_any(Maybe(Flag))
}

/// A string, or a number or bool as one.
///
/// # Errors
/// Anything else.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_any(Sure(Text))
}

/// Like [`text()`]; `null` is `None`. `""` stays what it is.
///
/// # Errors
/// As [`text()`].
pub fn maybe_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(Maybe(Text))
}

/// What is read out of one scalar.
trait Scalar {
    type Value;
    /// `""` means that there is no value.
    const EMPTY_IS_NONE: bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    fn parse(&self, text: &str) -> Option<Self::Value>;
}

struct Number<T>(PhantomData<T>);

impl<T: FromStr> Scalar for Number<T> {
    type Value = T;
    const EMPTY_IS_NONE: bool = true;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a number, or a string with one ({})",
            std::any::type_name::<T>()
        )
    }

    fn parse(&self, text: &str) -> Option<T> {
        let text = text.trim();
        // `bool` is `FromStr` too, and is no number.
        if matches!(text, "true" | "false") {
            return None;
        }
        text.parse().ok().or_else(|| {
            let whole = text.trim_end_matches('0').strip_suffix('.')?;
            whole.parse().ok()
        })
    }
}

struct Flag;

impl Scalar for Flag {
    type Value = bool;
    const EMPTY_IS_NONE: bool = true;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bool, 0, 1, or a word for it")
    }

    fn parse(&self, text: &str) -> Option<bool> {
        match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" => Some(false),
            _ => None,
        }
    }
}

struct Text;

impl Scalar for Text {
    type Value = String;
    const EMPTY_IS_NONE: bool = false;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn parse(&self, text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

/// A scalar that must be there.
struct Sure<S>(S);

impl<'de, S: Scalar> Visitor<'de> for Sure<S> {
    type Value = S::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        let text = if value { "true" } else { "false" };
        let parsed = self.0.parse(text);
        parsed.ok_or_else(|| E::invalid_value(Unexpected::Bool(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        let parsed = self.0.parse(&value.to_string());
        parsed.ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let parsed = self.0.parse(&value.to_string());
        parsed.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        // Written without a fraction if it has none, so `2.0` is a whole number as well.
        let parsed = self.0.parse(&value.to_string());
        parsed.ok_or_else(|| E::invalid_value(Unexpected::Float(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        let parsed = self.0.parse(value);
        parsed.ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

/// A scalar that may be missing.
struct Maybe<S>(S);

impl<'de, S: Scalar> Visitor<'de> for Maybe<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Sure(self.0).visit_bool(value).map(Some)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Sure(self.0).visit_i64(value).map(Some)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Sure(self.0).visit_u64(value).map(Some)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Sure(self.0).visit_f64(value).map(Some)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        if S::EMPTY_IS_NONE && value.trim().is_empty() {
            return Ok(None);
        }
        Sure(self.0).visit_str(value).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Loose {
        #[serde(deserialize_with = "number")]
        number: u32,
        #[serde(deserialize_with = "number")]
        float: f64,
        #[serde(deserialize_with = "maybe_number")]
        maybe: Option<i64>,
        #[serde(deserialize_with = "flag")]
        flag: bool,
        #[serde(deserialize_with = "maybe_flag")]
        maybe_flag: Option<bool>,
        #[serde(deserialize_with = "text")]
        text: String,
        #[serde(deserialize_with = "maybe_text")]
        maybe_text: Option<String>,
    }

    fn read(value: serde_json::Value) -> Result<Loose, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn numbers_are_read_in_every_spelling() {
        for value in [json!(2), json!("2"), json!(2.0), json!("2.0"), json!(" 2 ")] {
            assert_eq!(read(json!({ "number": value })).unwrap().number, 2);
        }
        assert!((read(json!({"float": "0.5"})).unwrap().float - 0.5).abs() < 1e-9);
        assert_eq!(read(json!({"maybe": "-3"})).unwrap().maybe, Some(-3));
        for value in [json!(null), json!("")] {
            assert_eq!(read(json!({ "maybe": value })).unwrap().maybe, None);
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for value in [
            json!(-1),
            json!("x"),
            json!(""),
            json!(null),
            json!(true),
            json!(2.5),
            json!("2.5"),
            json!(5_000_000_000_u64),
            json!([2]),
        ] {
            let error = read(json!({ "number": value })).unwrap_err().to_string();
            assert!(error.contains("expected a number"), "{value}: {error}");
        }
    }

    #[test]
    fn flags_are_read_in_every_spelling() {
        for value in [json!(true), json!(1), json!("1"), json!("Yes"), json!("on")] {
            assert!(read(json!({ "flag": value })).unwrap().flag);
        }
        for value in [json!(false), json!(0), json!("0"), json!(null), json!("")] {
            assert!(!read(json!({ "flag": value })).unwrap().flag);
        }
        assert_eq!(read(json!({"maybe_flag": ""})).unwrap().maybe_flag, None);
        assert!(read(json!({"flag": 2})).is_err());
        assert!(read(json!({"flag": "maybe"})).is_err());
    }

    #[test]
    fn text_may_come_as_a_number() {
        assert_eq!(read(json!({"text": 9000})).unwrap().text, "9000");
        assert_eq!(read(json!({"text": "a"})).unwrap().text, "a");
        assert!(read(json!({"text": null})).is_err());
        let read = read(json!({"maybe_text": ""})).unwrap();
        assert_eq!(read.maybe_text.as_deref(), Some(""));
    }
}
