//! Lengths of time as they are written.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// A length of time with its unit, such as `"5s"`, `"200ms"` or `"30m"`.
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl serde::de::Visitor<'_> for Written {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number with ms, s, m or h, such as \"5s\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
                let wrong = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
                let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
                let number: u64 = digits.parse().map_err(|_| wrong())?;
                let milliseconds = match &text[digits.len()..] {
                    "ms" => Some(number),
                    "s" => number.checked_mul(1000),
                    "m" => number.checked_mul(60_000),
                    "h" => number.checked_mul(3_600_000),
                    _ => None,
                };
                milliseconds
                    .filter(|milliseconds| *milliseconds > 0)
                    .map(|milliseconds| Span(Duration::from_millis(milliseconds)))
                    .ok_or_else(wrong)
            }
        }
        deserializer.deserialize_str(Written)
    }
}
