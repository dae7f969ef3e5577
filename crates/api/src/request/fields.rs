//! The kinds of value a request's fields hold, where JSON's own are too wide or too narrow.

use std::fmt;

use filmgate_core::money::{Delta, Nanos};
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// The last second of the year 9999: later instants are typing errors, milliseconds above all.
pub(crate) const LAST_SECOND: i64 = 253_402_300_799;

/// A whole number; `4.0` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole(pub(crate) i64);

/// A whole number of seconds, as a number or as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) i64);

/// Dollars, as decimal text or as a number.
///
/// A JSON number is read as a float and printed again with the fewest digits that mean the same float. Up to 15
/// significant digits that is exactly what was sent; more are refused, because text can carry them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dollars(pub(crate) Nanos);

/// Dollars with a sign, otherwise as [`Dollars`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignedDollars(pub(crate) Delta);

struct WholeVisitor {
    text: bool,
}

impl Visitor<'_> for WholeVisitor {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.text {
            "a whole number of seconds, as a number or as text"
        } else {
            "a whole number"
        })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<i64, E> {
        Ok(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<i64, E> {
        i64::try_from(value)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<i64, E> {
        // Beyond 2^53 a float no longer tells which whole number was meant.
        if value.fract() == 0.0 && value.abs() < 9e15 {
            return Ok(value as i64);
        }
        Err(E::invalid_value(serde::de::Unexpected::Float(value), &self))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<i64, E> {
        let wrong = || E::invalid_value(serde::de::Unexpected::Str(value), &self);
        if !self.text {
            return Err(E::invalid_type(serde::de::Unexpected::Str(value), &self));
        }
        let plain = value.strip_suffix(".0").unwrap_or(value);
        if plain.len() > 18 || !plain.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        plain.parse().map_err(|_| wrong())
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(WholeVisitor { text: false })
            .map(Self)
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(WholeVisitor { text: true })
            .map(Self)
    }
}

struct DollarsVisitor {
    signed: bool,
}

impl DollarsVisitor {
    const MOST_DIGITS: usize = 15;

    /// The amount a text says, negative only where that is allowed.
    fn read(&self, text: &str) -> Option<Delta> {
        let amount: Delta = text.parse().ok()?;
        (self.signed || !text.starts_with('-')).then_some(amount)
    }
}

impl Visitor<'_> for DollarsVisitor {
    type Value = Delta;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.signed { "" } else { "not negative, " };
        write!(
            f,
            "US dollars, such as \"0.25\" or 0.25: {sign}at most 9 decimals, and more than 15 digits only as text"
        )
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Delta, E> {
        let wrong = || E::invalid_value(serde::de::Unexpected::Unsigned(value), &self);
        self.read(&value.to_string()).ok_or_else(wrong)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Delta, E> {
        let wrong = || E::invalid_value(serde::de::Unexpected::Signed(value), &self);
        self.read(&value.to_string()).ok_or_else(wrong)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Delta, E> {
        let wrong = || E::invalid_value(serde::de::Unexpected::Float(value), &self);
        let text = value.to_string();
        let digits = text.replace(['.', '-'], "");
        let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
        if significant > Self::MOST_DIGITS {
            return Err(wrong());
        }
        self.read(&text).ok_or_else(wrong)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Delta, E> {
        let wrong = || E::invalid_value(serde::de::Unexpected::Str(value), &self);
        self.read(value).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Dollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amount = deserializer.deserialize_any(DollarsVisitor { signed: false })?;
        let amount = Nanos::new(amount.0);
        amount
            .map(Self)
            .ok_or_else(|| D::Error::custom("an amount is never negative"))
    }
}

impl<'de> Deserialize<'de> for SignedDollars {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(DollarsVisitor { signed: true })
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dollars(json: &str) -> Option<i64> {
        serde_json::from_str::<Dollars>(json)
            .ok()
            .map(|dollars| dollars.0.get())
    }

    #[test]
    fn dollars_with_a_sign_are_read_as_exactly() {
        for (json, nanos) in [
            ("-0.1", Some(-100_000_000)),
            ("\"-0.1\"", Some(-100_000_000)),
            ("3", Some(3_000_000_000)),
            ("-3", Some(-3_000_000_000)),
            ("\"--1\"", None),
            ("\"+1\"", None),
            ("-1234567.000000001", None),
            ("\"-1234567.000000001\"", Some(-1_234_567_000_000_001)),
        ] {
            let read = serde_json::from_str::<SignedDollars>(json).ok();
            assert_eq!(read.map(|dollars| dollars.0.0), nanos, "{json}");
        }
    }

    #[test]
    fn dollars_are_read_exactly_from_numbers_and_texts() {
        for (json, nanos) in [
            ("0.1", 100_000_000),
            ("\"0.1\"", 100_000_000),
            ("1e-9", 1),
            ("3", 3_000_000_000),
            ("1234567.000000001", -1),
            ("123456.000000001", 123_456_000_000_001),
            ("\"1234567.000000001\"", 1_234_567_000_000_001),
            ("0.0000000001", -1),
            ("-1", -1),
            ("-0.5", -1),
            ("1e300", -1),
            ("true", -1),
            ("\"1e3\"", -1),
        ] {
            let read = dollars(json).unwrap_or(-1);
            assert_eq!(read, nanos, "{json}");
        }
    }

    proptest! {
        #[test]
        fn a_number_of_few_digits_is_the_amount_it_shows(nanos in 0i64..999_999_999_999_999) {
            let shown = Nanos::new(nanos).unwrap().to_string();
            prop_assert_eq!(dollars(&shown), Some(nanos));
        }
    }

    #[test]
    fn seconds_come_as_numbers_and_as_texts() {
        let seconds = |json: &str| {
            serde_json::from_str::<Seconds>(json)
                .ok()
                .map(|seconds| seconds.0)
        };
        for json in ["4", "4.0", "\"4\"", "\"4.0\""] {
            assert_eq!(seconds(json), Some(4), "{json}");
        }
        for json in ["4.5", "\"\"", "\"4s\"", "\"4.5\"", "true", "[4]", "\" 4\""] {
            assert_eq!(seconds(json), None, "{json}");
        }
        assert!(serde_json::from_str::<Whole>("\"4\"").is_err());
    }
}
