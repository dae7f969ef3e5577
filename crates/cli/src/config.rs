//! Configuration: `filmgate.toml`, then `FILMGATE_SECTION__KEY` from the environment, then flags.
//!
//! Each room owns its section, defaults included; this joins them and reports every fault at once.
//! No environment variable is read anywhere else.

mod keys;
mod provider;

pub(crate) use provider::{Project, ProviderConfig, ProviderKind, Server, VendorAccount};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::providers::{Env, Format, Toml};
use figment::{Figment, Metadata};
use filmgate_catalogue::Catalogue;
use filmgate_core::address::AddressBlock;
use filmgate_core::provider::Secret;
use filmgate_engine::{BillingConfig, EngineConfig};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// The file that is read when none is named.
const FILE: &str = "filmgate.toml";
/// The data directory when none is named.
const DATA: &str = "filmgate-data";
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
    /// The data directory where the database is no file in it.
    data: PathBuf,
    pub(crate) server: filmgate_api::Config,
    pub(crate) store: StoreConfig,
    pub(crate) assets: filmgate_assets::Config,
    pub(crate) engine: EngineConfig,
    pub(crate) security: SecurityConfig,
    pub(crate) video: filmgate_api::VideoConfig,
    pub(crate) billing: BillingConfig,
    pub(crate) providers: BTreeMap<String, ProviderConfig>,
    /// What this release ships, and what the providers' sections declare beside it.
    pub(crate) catalogue: Catalogue,
}

impl Config {
    /// Keeps what belongs to this process alone in `data`, and with a database file everything else too.
    pub(crate) fn keep_in(&mut self, data: &Path) {
        self.assets.spool_dir = data.join("spool");
        if let Ok(Database::Postgres(_)) = self.store.database() {
            self.data = data.to_owned();
            return;
        }
        self.store.url = format!("sqlite:{}", data.join("filmgate.db").display());
        self.assets.url = format!("file:{}", data.join("assets").display());
    }

    /// The directory that is this process's own.
    pub(crate) fn data_directory(&self) -> PathBuf {
        let file = match self.store.database() {
            Ok(Database::Sqlite(file)) => file,
            _ => return self.data.clone(),
        };
        match file
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            Some(parent) => parent.to_owned(),
            None => PathBuf::from("."),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StoreConfig {
    /// `sqlite:` and the path of the database file, whose directory is the data directory; or `postgres://` and where
    /// the server and its database are.
    pub(crate) url: String,
    /// The most connections to PostgreSQL at once.
    pub(crate) connections: u32,
}

/// Where the jobs are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Database {
    /// A file, for one process.
    Sqlite(PathBuf),
    /// A server's address, for any number of processes.
    Postgres(String),
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "sqlite:filmgate-data/filmgate.db".to_owned(),
            connections: 20,
        }
    }
}

impl StoreConfig {
    pub(crate) fn database(&self) -> Result<Database, String> {
        let is_postgres = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| self.url.starts_with(scheme));
        if is_postgres {
            return Ok(Database::Postgres(self.url.clone()));
        }
        match self.url.strip_prefix("sqlite:") {
            Some(path) if !path.is_empty() => Ok(Database::Sqlite(PathBuf::from(path))),
            _ => Err(format!(
                "store.url: {:?} was given, and sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE is allowed",
                self.shown_url()
            )),
        }
    }

    /// The URL without the password in it.
    pub(crate) fn shown_url(&self) -> String {
        let secret = self
            .url
            .split_once("://")
            .and_then(|(_, rest)| rest.rsplit_once('@'))
            .and_then(|(user, _)| user.split_once(':'))
            .map(|(_, password)| password)
            .filter(|password| !password.is_empty());
        match secret {
            Some(secret) => self.url.replacen(&format!(":{secret}@"), ":…@", 1),
            None => self.url.clone(),
        }
    }

    /// What only one of the two databases takes, or takes within limits.
    fn faults(&self) -> impl Iterator<Item = String> {
        let connections = (!(2..=1000).contains(&self.connections)).then(|| {
            format!(
                "store.connections: {} was given, and 2 to 1000 are allowed",
                self.connections
            )
        });
        self.database().err().into_iter().chain(connections)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SecurityConfig {
    /// 64 hexadecimal characters. Beside SQLite, one is made on first start when none is given; with PostgreSQL all
    /// processes are given the same.
    #[serde(deserialize_with = "secret")]
    pub(crate) master_key: Option<Secret>,
    /// Networks that outputs may be fetched from although they are private.
    pub(crate) allow_private_networks: Vec<AddressBlock>,
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
    pub(crate) fn read() -> Self {
        Self {
            url: variable("FILMGATE_URL"),
            key: variable("FILMGATE_KEY").map(Secret::new),
            bootstrap_key: variable("FILMGATE_BOOTSTRAP_KEY").map(Secret::new),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the environment"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
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
    let sections = section(&figment, "providers", &mut faults);
    let (mut providers, catalogue) = provider::read(&figment, sections, &mut faults);
    let engine: EngineConfig = section(&figment, "engine", &mut faults);
    if engine.providers_from_environment {
        for (name, provider) in provider::from_environment(&mut faults) {
            providers.entry(name.to_owned()).or_insert(provider);
        }
    }
    let mut config = Config {
        data: PathBuf::from(DATA),
        server: section(&figment, "server", &mut faults),
        store: section(&figment, "store", &mut faults),
        assets: section(&figment, "assets", &mut faults),
        engine,
        security: section(&figment, "security", &mut faults),
        video: section(&figment, "video", &mut faults),
        billing: section(&figment, "billing", &mut faults),
        providers,
        catalogue,
    };
    faults.extend(look_up_bucket_keys(&mut config.assets));
    faults.extend(config.store.faults());
    faults.extend(unshared(&config));
    if faults.is_empty() {
        Ok(config)
    } else {
        Err(Faults(faults))
    }
}

/// A bucket's keys may stand in variables: `env:` and the name.
fn look_up_bucket_keys(assets: &mut filmgate_assets::Config) -> Vec<String> {
    let mut faults = Vec::new();
    let mut look_up = |key: &str, given: Option<String>| {
        let given = given?;
        let Some(name) = given.strip_prefix("env:") else {
            return Some(given);
        };
        let found = variable(name);
        if found.is_none() {
            faults.push(format!("assets.{key}: the variable {name} is not set"));
        }
        found
    };
    assets.access_key_id = look_up("access_key_id", assets.access_key_id.take());
    let secret = assets.secret_access_key.take();
    let secret = secret.map(|secret| secret.expose().to_owned());
    assets.secret_access_key = look_up("secret_access_key", secret).map(Secret::new);
    faults
}

/// What every process on one database must have alike, and none can make up for itself.
fn unshared(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    if !matches!(config.store.database(), Ok(Database::Postgres(_))) {
        return faults;
    }
    if config.security.master_key.is_none() {
        faults.push(
            "security.master_key: nothing was given, and all processes on one PostgreSQL database need the same: 64 hexadecimal characters, such as `openssl rand -hex 32` prints"
                .to_owned(),
        );
    }
    if config.assets.url == filmgate_assets::Config::default().url {
        faults.push(
            "assets.url: nothing was given, and all processes on one PostgreSQL database need the same: s3://BUCKET/PREFIX, or file: and a directory on a file system they share"
                .to_owned(),
        );
    }
    faults
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
    let separator = if key.is_empty() { "" } else { ": " };
    format!(
        "{key}{separator}{}{}",
        fault.kind,
        source(fault.metadata.as_ref())
    )
}

/// Where a value came from, for the end of a line.
fn source(metadata: Option<&Metadata>) -> String {
    let Some(metadata) = metadata else {
        return String::new();
    };
    let place = metadata
        .source
        .as_ref()
        .map_or_else(String::new, |source| format!(" {source}"));
    format!(" (from {}{place})", metadata.name)
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    pub(super) fn written(text: &str) -> Result<Config, Faults> {
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
            "[server]\nlistne = \"x\"\n[engine]\nworkers = \"many\"\n[banana]\nx = 1\n[store]\nurl = \"mysql:x\"\n[providers.p]\nkind = \"testcard\"\npoll_every = \"soon\"\n[security]\nallow_private_networks = [\"10.0.0.0/40\"]",
        )
        .unwrap_err();
        let all = faults.join("\n");
        for expected in [
            "listne",
            "engine.workers",
            "banana",
            "mysql:x",
            "providers.p.poll_every",
            "security.allow_private_networks",
            "10.0.0.0/40",
        ] {
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
    fn a_shared_database_needs_what_processes_must_have_alike() {
        let url = "postgres://user:pass:w@rd@127.0.0.1:5432/filmgate";
        let Faults(faults) = written(&format!("[store]\nurl = {url:?}")).unwrap_err();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("security.master_key: "));
        assert!(faults[1].starts_with("assets.url: "));
        let whole = format!(
            "[store]\nurl = {url:?}\n[security]\nmaster_key = \"{}\"\n[assets]\nurl = \"s3://bucket\"",
            "0".repeat(64)
        );
        let mut config = written(&whole).unwrap();
        assert_eq!(
            config.store.database(),
            Ok(Database::Postgres(url.to_owned()))
        );
        config.keep_in(Path::new("here"));
        assert_eq!(config.store.url, url, "it is nobody's own");
        assert_eq!(config.assets.url, "s3://bucket");
        assert_eq!(config.data_directory(), Path::new("here"));
        assert_eq!(config.assets.spool_dir, Path::new("here/spool"));
    }

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            (
                "postgres://user:pass:w@rd@host/db",
                "postgres://user:…@host/db",
            ),
            ("postgres://user@host/db", "postgres://user@host/db"),
            ("postgres://host/db", "postgres://host/db"),
            ("sqlite:a@b/c.db", "sqlite:a@b/c.db"),
            ("mysql://user:secret@host", "mysql://user:…@host"),
        ] {
            let config = StoreConfig {
                url: url.to_owned(),
                ..StoreConfig::default()
            };
            assert_eq!(config.shown_url(), shown);
        }
    }
}
