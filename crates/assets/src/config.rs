//! The section `[assets]` of the configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::OpenError;

/// Where outputs are kept, and how much of them at once may be on its way there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `file:` and a directory, relative to the working directory or absolute.
    pub url: String,
    /// Where incoming bytes wait. On the same file system as the store, an output is put by a rename; on another, by a copy.
    pub spool_dir: PathBuf,
    /// The most bytes the spool holds at once, at least twice `max_output_bytes`. A full spool makes new outputs wait.
    pub spool_bytes: u64,
    /// A larger output is refused.
    pub max_output_bytes: u64,
    /// How long what a job stored, inputs included, is kept after its end, such as `"30d"`; until it is deleted where not
    /// set.
    #[serde(deserialize_with = "retention")]
    pub retention: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "file:filmgate-data/assets".into(),
            spool_dir: "filmgate-data/spool".into(),
            spool_bytes: 8 << 30,
            max_output_bytes: 4 << 30,
            retention: None,
        }
    }
}

impl Config {
    /// The directory that `url` names.
    pub(crate) fn directory(&self) -> Result<PathBuf, OpenError> {
        let path = self.url.strip_prefix("file:").map(|rest| {
            // In `file:///srv/assets` an empty host stands before the path; any other host is not this machine.
            rest.strip_prefix("//").map_or(Some(rest), |after_host| {
                after_host.starts_with('/').then_some(after_host)
            })
        });
        match path.flatten() {
            Some(path) if !path.is_empty() => Ok(path.into()),
            _ => Err(OpenError::UnsupportedUrl {
                url: self.url.clone(),
            }),
        }
    }
}

fn retention<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    deserializer.deserialize_str(Retention).map(Some)
}

/// A whole number of minutes, hours or days.
struct Retention;

impl Retention {
    const LEAST: Duration = Duration::from_secs(60);
    /// Longer than anything is kept, and never too long for an instant.
    const MOST: Duration = Duration::from_secs(36_500 * 24 * 3600);
}

impl Visitor<'_> for Retention {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number with m, h or d, such as \"30d\", from \"1m\" to \"36500d\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
        let parsed = text.split_at_checked(text.len().saturating_sub(1));
        let parsed = parsed.and_then(|(number, unit)| {
            let seconds = match unit {
                "m" => 60,
                "h" => 3600,
                "d" => 24 * 3600,
                _ => return None,
            };
            let digits = number.bytes().all(|byte| byte.is_ascii_digit());
            let number: u64 = number.parse().ok().filter(|_| digits)?;
            number.checked_mul(seconds).map(Duration::from_secs)
        });
        parsed
            .filter(|kept| (Self::LEAST..=Self::MOST).contains(kept))
            .ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::Error;

    #[test]
    fn retention_is_a_number_of_minutes_hours_or_days() {
        let read = |text: &str| retention(IntoDeserializer::<Error>::into_deserializer(text));
        for (text, minutes) in [("1m", 1), ("90m", 90), ("36h", 36 * 60), ("30d", 43_200)] {
            let kept = Duration::from_secs(minutes * 60);
            assert_eq!(read(text), Ok(Some(kept)), "{text}");
        }
        for text in [
            "", "m", "0m", "30", "30s", "30 d", "+1d", "-1d", "1.5h", "36501d", "1d1h", "1M", "1µ",
        ] {
            let refusal = read(text).unwrap_err().to_string();
            assert!(
                refusal.contains(&format!("{text:?}")) && refusal.contains("m, h or d"),
                "{text}: {refusal}"
            );
        }
        let number = retention(IntoDeserializer::<Error>::into_deserializer(30u64));
        let refusal = number.unwrap_err().to_string();
        assert!(
            refusal.contains("`30`") && refusal.contains("\"30d\""),
            "{refusal}"
        );
    }

    #[test]
    fn a_url_names_a_directory() {
        let directory = |url: &str| {
            Config {
                url: url.into(),
                ..Config::default()
            }
            .directory()
            .unwrap()
        };
        assert_eq!(directory("file:a/b"), PathBuf::from("a/b"));
        assert_eq!(directory("file:/srv/a"), PathBuf::from("/srv/a"));
        assert_eq!(directory("file:///srv/a"), PathBuf::from("/srv/a"));
    }
}
