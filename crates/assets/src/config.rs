//! The section `[assets]` of the configuration.

use std::fmt;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use filmgate_core::provider::Secret;
use object_store::path::Path;
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::bucket::MOST_BYTES;
use crate::{ObjectKey, OpenError};

/// Where outputs are kept, and how much of them at once may be on its way there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `file:` and a directory, relative to the working directory or absolute; or `s3://`, a bucket and perhaps a prefix in
    /// it. `gs://` and `az://` where they are built in: with credentials from their clouds' usual environment variables, and
    /// not proven against a server.
    pub url: String,
    /// `https://` or `http://` and the host of a server that speaks S3. Without it, Amazon's.
    pub endpoint: Option<String>,
    /// The region of the `s3://` bucket; without it that of the environment, or `us-east-1`.
    pub region: Option<String>,
    /// Comes with `secret_access_key`. Without the two, credentials are looked for where Amazon's own tools do: the
    /// environment, the task, the instance.
    pub access_key_id: Option<String>,
    /// Comes with `access_key_id`. Taken as it stands: whoever reads the configuration resolves what it may point to.
    #[serde(deserialize_with = "secret")]
    pub secret_access_key: Option<Secret>,
    /// Where the name of the `s3://` bucket stands in an address.
    pub addressing: Addressing,
    /// Whether clients with a signed link are sent to the bucket, whose address they have to reach then. Not for `az://`.
    pub redirect: bool,
    /// A bucket that does nothing for this long is given up for now. Sending a large body may take longer.
    pub stall_seconds: NonZero<u32>,
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

/// Where the name of a bucket stands in an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// First in the path: `https://host/bucket/key`. Every server knows it.
    #[default]
    Path,
    /// First in the host's name: `https://bucket.host/key`.
    VirtualHosted,
}

/// What `url` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    Directory(PathBuf),
    Bucket {
        cloud: Cloud,
        bucket: String,
        prefix: Path,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cloud {
    S3,
    Gcs,
    Azure,
}

impl Default for Config {
    fn default() -> Self {
        const STALL_SECONDS: NonZero<u32> = NonZero::new(30).expect("it is not zero");
        Self {
            url: "file:filmgate-data/assets".into(),
            endpoint: None,
            region: None,
            access_key_id: None,
            secret_access_key: None,
            addressing: Addressing::default(),
            redirect: false,
            stall_seconds: STALL_SECONDS,
            spool_dir: "filmgate-data/spool".into(),
            spool_bytes: 8 << 30,
            max_output_bytes: 4 << 30,
            retention: None,
        }
    }
}

impl Config {
    pub(crate) fn location(&self) -> Result<Location, OpenError> {
        let unsupported = || OpenError::UnsupportedUrl {
            url: self.url.clone(),
        };
        let (scheme, rest) = self.url.split_once(':').ok_or_else(unsupported)?;
        let cloud = match scheme {
            "file" => return directory(rest).ok_or_else(unsupported),
            "s3" => Cloud::S3,
            "gs" => Cloud::Gcs,
            "az" => Cloud::Azure,
            _ => return Err(unsupported()),
        };
        let location = bucket(cloud, rest).ok_or_else(unsupported)?;
        if self.max_output_bytes > MOST_BYTES {
            return Err(OpenError::OutputTooLarge {
                max_output_bytes: self.max_output_bytes,
                most: MOST_BYTES,
            });
        }
        Ok(location)
    }

    /// The server that speaks S3, where it is not Amazon's.
    pub(crate) fn endpoint(&self) -> Result<Option<Url>, OpenError> {
        let Some(endpoint) = &self.endpoint else {
            return Ok(None);
        };
        let address: Url = endpoint.parse().map_err(|_| self.bad_endpoint())?;
        let plain = address.username().is_empty()
            && address.password().is_none()
            && address.query().is_none()
            && address.fragment().is_none();
        if matches!(address.scheme(), "http" | "https") && address.has_host() && plain {
            Ok(Some(address))
        } else {
            Err(self.bad_endpoint())
        }
    }

    pub(crate) fn stall(&self) -> Duration {
        Duration::from_secs(self.stall_seconds.get().into())
    }

    pub(crate) fn bad_endpoint(&self) -> OpenError {
        OpenError::BadEndpoint {
            endpoint: self.endpoint.clone().unwrap_or_default(),
        }
    }

    pub(crate) fn cannot_be_used(&self, source: object_store::Error) -> OpenError {
        OpenError::Bucket {
            url: self.url.clone(),
            source,
        }
    }

    #[cfg(not(all(feature = "gcs", feature = "azure")))]
    pub(crate) fn needs_feature(&self, feature: &'static str) -> OpenError {
        OpenError::MissingFeature {
            url: self.url.clone(),
            feature,
        }
    }
}

fn directory(rest: &str) -> Option<Location> {
    // In `file:///srv/assets` an empty host stands before the path; any other host is not this machine.
    let path = match rest.strip_prefix("//") {
        Some(after_host) => Some(after_host).filter(|path| path.starts_with('/')),
        None => Some(rest),
    };
    path.filter(|path| !path.is_empty())
        .map(|path| Location::Directory(path.into()))
}

fn bucket(cloud: Cloud, rest: &str) -> Option<Location> {
    let rest = rest.strip_prefix("//")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    // Names as in a key need no escaping anywhere.
    let plain = |text: &str| text.parse::<ObjectKey>().is_ok();
    let named = plain(bucket) && (prefix.is_empty() || plain(prefix));
    named.then(|| Location::Bucket {
        cloud,
        bucket: bucket.to_owned(),
        prefix: Path::from(prefix),
    })
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
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

    fn location(url: &str) -> Result<Location, OpenError> {
        let url = url.into();
        Config {
            url,
            ..Config::default()
        }
        .location()
    }

    #[test]
    fn a_url_names_a_directory() {
        for (url, path) in [
            ("file:a/b", "a/b"),
            ("file:/srv/a", "/srv/a"),
            ("file:///srv/a", "/srv/a"),
        ] {
            assert_eq!(location(url).unwrap(), Location::Directory(path.into()));
        }
    }

    #[test]
    fn a_url_names_a_bucket_and_perhaps_a_prefix() {
        for (url, cloud, prefix) in [
            ("s3://my.bucket-1", Cloud::S3, ""),
            ("s3://my.bucket-1/", Cloud::S3, ""),
            ("s3://my.bucket-1/videos/eu", Cloud::S3, "videos/eu"),
            ("s3://my.bucket-1/videos/", Cloud::S3, "videos"),
            ("gs://my.bucket-1/videos", Cloud::Gcs, "videos"),
            ("az://my.bucket-1/videos", Cloud::Azure, "videos"),
        ] {
            let expected = Location::Bucket {
                cloud,
                bucket: "my.bucket-1".into(),
                prefix: prefix.into(),
            };
            assert_eq!(location(url).unwrap(), expected, "{url}");
        }
    }

    #[test]
    fn any_other_url_is_refused_with_what_is_allowed() {
        for url in [
            "",
            "filmgate-data/assets",
            "file:",
            "file://host/assets",
            "s3:bucket",
            "s3://",
            "s3:///prefix",
            "s3://bucket/../prefix",
            "s3://bucket//prefix",
            "s3://bucket/pre fix",
            "s3://id:secret@bucket/prefix",
            "s3://bucket/prefix?region=x",
            "https://host/bucket",
        ] {
            let refusal = location(url).expect_err(url);
            assert!(matches!(refusal, OpenError::UnsupportedUrl { .. }), "{url}");
            assert!(refusal.to_string().contains("file:filmgate-data/assets"));
        }
    }

    #[test]
    fn an_endpoint_is_a_host_and_how_to_speak_to_it() {
        let endpoint = |endpoint: &str| {
            Config {
                endpoint: Some(endpoint.into()),
                ..Config::default()
            }
            .endpoint()
        };
        for allowed in [
            "https://s3.example.com",
            "http://127.0.0.1:9000",
            "https://host/storage/v1/s3",
        ] {
            assert!(endpoint(allowed).is_ok(), "{allowed}");
        }
        for refused in [
            "",
            "s3.example.com",
            "ftp://host",
            "https://id:secret@host",
            "https://host/?x",
        ] {
            assert!(endpoint(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let config = Config {
            access_key_id: Some("id".into()),
            secret_access_key: Some(Secret::new("hush")),
            ..Config::default()
        };
        assert!(!format!("{config:?}").contains("hush"));
    }
}
