//! Configuration: `filmgate.toml`, then `FILMGATE_SECTION__KEY` from the environment, then flags.
//!
//! Each room owns its section, defaults included; this joins them and reports every fault at once.
//! No environment variable is read anywhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use filmgate_core::provider::Secret;
use filmgate_engine::{BillingConfig, EngineConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// The file that is read when none is named.
const FILE: &str = "filmgate.toml";
const SECTIONS: [&str; 8] = [
    "server",
    "store",
    "assets",
    "engine",
    "security",
    "video",
    "billing",
    "providers",
];

#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) server: filmgate_api::Config,
    pub(crate) store: StoreConfig,
    pub(crate) assets: filmgate_assets::Config,
    pub(crate) engine: EngineConfig,
    pub(crate) security: SecurityConfig,
    pub(crate) video: filmgate_api::VideoConfig,
    pub(crate) billing: BillingConfig,
    pub(crate) providers: BTreeMap<String, ProviderConfig>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// `sqlite:` and the path of the database file; its directory is the data directory.
    pub(crate) url: String,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "sqlite:filmgate-data/filmgate.db".to_owned(),
        }
    }
}

impl StoreConfig {
    /// The database file.
    pub(crate) fn path(&self) -> Result<PathBuf, String> {
        match self.url.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
            _ => Err(format!(
                "store.url: {:?} was given, and sqlite:PATH is allowed",
                self.url
            )),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SecurityConfig {
    /// 64 hexadecimal characters. Beside SQLite, one is made on first start when none is given.
    #[serde(deserialize_with = "secret")]
    pub(crate) master_key: Option<Secret>,
}

/// An account at a provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProviderConfig {
    /// Which adapter speaks to it; the section's name when not given.
    pub(crate) kind: Option<String>,
    pub(crate) enabled: bool,
    /// How often a running job is asked for, such as `"5s"` or `"200ms"`.
    #[serde(deserialize_with = "duration")]
    pub(crate) poll_every: Option<Duration>,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            kind: None,
            enabled: true,
            poll_every: None,
        }
    }
}

/// Everything that is wrong, one line each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has faults:\n  {}", .0.join("\n  "))]
pub(crate) struct Faults(pub(crate) Vec<String>);

/// What does not come from the file: kept apart, because a name without `__` is not a setting.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    pub(crate) url: Option<String>,
    pub(crate) key: Option<Secret>,
    pub(crate) bootstrap_key: Option<Secret>,
}

impl Environment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub(crate) fn read() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            url: variable("FILMGATE_URL"),
            key: variable("FILMGATE_KEY").map(Secret::new),
            bootstrap_key: variable("FILMGATE_BOOTSTRAP_KEY").map(Secret::new),
        }
    }
}

/// Reads `file`, or `filmgate.toml` where there is one, and the environment.
pub(crate) fn read(file: Option<&Path>) -> Result<Config, Faults> {
    if let Some(file) = file.filter(|file| !file.is_file()) {
        return Err(Faults(vec![format!("{} is not a file", file.display())]));
    }
    let path = file.map_or_else(|| PathBuf::from(FILE), Path::to_path_buf);
    let mut figment = Figment::new();
    if path.is_file() {
        figment = figment.merge(Toml::file_exact(path));
    }
    let environment = Env::prefixed("FILMGATE_").filter(|name| name.as_str().contains("__"));
    let figment = figment.merge(environment.split("__"));
    let mut faults = Vec::new();
    match figment.extract::<BTreeMap<String, figment::value::Value>>() {
        Err(error) => {
            return Err(Faults(
                error.into_iter().map(|fault| told(&fault, None)).collect(),
            ));
        }
        Ok(sections) => {
            for name in sections
                .keys()
                .filter(|name| !SECTIONS.contains(&name.as_str()))
            {
                faults.push(format!(
                    "{name}: there is no such section; there are {}",
                    SECTIONS.join(", ")
                ));
            }
        }
    }
    let config = Config {
        server: section(&figment, "server", &mut faults),
        store: section(&figment, "store", &mut faults),
        assets: section(&figment, "assets", &mut faults),
        engine: section(&figment, "engine", &mut faults),
        security: section(&figment, "security", &mut faults),
        video: section(&figment, "video", &mut faults),
        billing: section(&figment, "billing", &mut faults),
        providers: section(&figment, "providers", &mut faults),
    };
    if let Err(fault) = config.store.path() {
        faults.push(fault);
    }
    if faults.is_empty() {
        Ok(config)
    } else {
        Err(Faults(faults))
    }
}

fn section<T: DeserializeOwned + Default>(
    figment: &Figment,
    name: &str,
    faults: &mut Vec<String>,
) -> T {
    if !figment.contains(name) {
        return T::default();
    }
    figment.extract_inner(name).unwrap_or_else(|error| {
        faults.extend(error.into_iter().map(|fault| told(&fault, Some(name))));
        T::default()
    })
}

/// The key, what is wrong with it and where it came from.
fn told(fault: &figment::Error, section: Option<&str>) -> String {
    // The section may stand at the end of the path as well as at its beginning, or not in it at all.
    let inner = fault.path.iter().map(String::as_str);
    let inner = inner.filter(|part| Some(*part) != section);
    let key: Vec<&str> = section.into_iter().chain(inner).collect();
    let key = key.join(".");
    let source = fault.metadata.as_ref().map(|metadata| {
        let place = metadata
            .source
            .as_ref()
            .map_or_else(String::new, |source| format!(" {source}"));
        format!(" (from {}{place})", metadata.name)
    });
    let separator = if key.is_empty() { "" } else { ": " };
    format!(
        "{key}{separator}{}{}",
        fault.kind,
        source.unwrap_or_default()
    )
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: Option<u64> = digits.parse().ok().filter(|number| *number > 0);
    let parsed = match (&text[digits.len()..], number) {
        ("ms", Some(number)) => Some(Duration::from_millis(number)),
        ("s", Some(number)) => Some(Duration::from_secs(number)),
        ("m", Some(number)) => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    };
    parsed.map(Some).ok_or_else(|| {
        serde::de::Error::custom(format!(
            "{text:?} was given, and a whole number with ms, s or m is allowed, such as \"5s\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<Config, Faults> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("filmgate.toml");
        std::fs::write(&file, text).unwrap();
        read(Some(&file))
    }

    #[test]
    fn an_empty_file_is_the_embedded_default() {
        let config = written("").unwrap();
        assert_eq!(config.store.url, "sqlite:filmgate-data/filmgate.db");
        assert_eq!(config.server.listen, "127.0.0.1:8080");
        assert!(config.video.enabled);
    }

    #[test]
    fn every_fault_is_told_at_once_by_name() {
        let Faults(faults) = written(
            "[server]\nlistne = \"x\"\n[engine]\nworkers = \"many\"\n[banana]\nx = 1\n[store]\nurl = \"mysql:x\"\n[providers.p]\npoll_every = \"soon\"",
        )
        .unwrap_err();
        let all = faults.join("\n");
        for expected in ["listne", "engine.workers", "banana", "mysql:x", "soon"] {
            assert!(all.contains(expected), "{expected} is not told in\n{all}");
        }
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_with_what_would() {
        for (key, most) in [
            ("workers", 100_000),
            ("lease_seconds", 86_400),
            ("call_seconds", 3600),
            ("park_after", 1000),
            ("history_days", 36_500),
        ] {
            for number in [1, most] {
                written(&format!("[engine]\n{key} = {number}")).expect(key);
            }
            for number in [0, -1, most + 1, i64::MAX] {
                let Faults(faults) = written(&format!("[engine]\n{key} = {number}")).unwrap_err();
                let expected = format!(
                    "engine.{key}: {number} was given, and a whole number from 1 to {most} is allowed"
                );
                assert!(
                    faults.len() == 1 && faults[0].starts_with(&expected),
                    "{faults:?}"
                );
            }
        }
    }

    #[test]
    fn retention_is_read_with_its_unit() {
        let kept = |text: &str| written(&format!("[assets]\nretention = {text}"));
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(kept("\"30d\"").unwrap().assets.retention, Some(30 * day));
        assert_eq!(written("").unwrap().assets.retention, None);
        for text in ["\"0d\"", "\"30\"", "\"soon\"", "30"] {
            let Faults(faults) = kept(text).unwrap_err();
            let [fault] = &faults[..] else {
                panic!("{faults:?}")
            };
            let named = text.trim_matches('"');
            assert!(
                fault.starts_with("assets.retention: ")
                    && fault.contains(named)
                    && fault.contains("a whole number with m, h or d, such as \"30d\""),
                "{fault}"
            );
        }
    }

    #[test]
    fn durations_have_a_unit() {
        let config = written(
            "[providers.testcard]\npoll_every = \"200ms\"\n[providers.slow]\npoll_every = \"2m\"",
        )
        .unwrap();
        assert_eq!(
            config.providers["testcard"].poll_every,
            Some(Duration::from_millis(200))
        );
        assert_eq!(
            config.providers["slow"].poll_every,
            Some(Duration::from_secs(120))
        );
    }
}
