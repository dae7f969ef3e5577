//! The section `[assets]` of the configuration.

use std::path::PathBuf;

use serde::Deserialize;

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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "file:filmgate-data/assets".into(),
            spool_dir: "filmgate-data/spool".into(),
            spool_bytes: 8 << 30,
            max_output_bytes: 4 << 30,
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

#[cfg(test)]
mod tests {
    use super::*;

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
