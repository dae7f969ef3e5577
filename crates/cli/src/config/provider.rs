//! The sections `[providers.NAME]`: accounts at providers, and the models that an operator declares for their own.
//!
//! Not here: what one kind of account needs (a file for each).

mod account;
mod google_vertex;
mod models;
mod server;
mod span;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use figment::Figment;
use figment::value::Value;
use filmgate_catalogue::Catalogue;
use filmgate_core::provider::Secret;
use filmgate_providers::runway;
use url::Url;

use super::keys::Keys;
use super::variable;
pub(crate) use account::VendorAccount;
pub(crate) use google_vertex::Project;
pub(crate) use server::Server;

use account::{On, vendor};
use google_vertex::{project, project_from_environment};
use models::{Models, models};
use server::server;
use span::Span;

const TESTCARD: &str = "testcard";
const OPENAI_COMPATIBLE: &str = "openai-compatible";
const RUNWAY: &str = "runway";
const GOOGLE_VERTEX: &str = "google-vertex";
const MOST_NAME_BYTES: usize = 64;

/// An account at a provider.
#[derive(Debug, Clone)]
pub(crate) struct ProviderConfig {
    pub(crate) enabled: bool,
    /// How often a running job is asked for.
    pub(crate) poll_every: Option<Duration>,
    /// Jobs it may have at once.
    pub(crate) concurrency: Option<NonZeroU32>,
    /// The longest one job may run there.
    pub(crate) deadline: Option<Duration>,
    pub(crate) kind: ProviderKind,
}

/// Which adapter speaks to it, with what that one needs.
#[derive(Debug, Clone)]
pub(crate) enum ProviderKind {
    Testcard,
    OpenAiCompatible(Server),
    Runway(VendorAccount),
    GoogleVertex(Project),
}

impl Default for ProviderConfig {
    /// The testcard as it is when nothing is said of it.
    fn default() -> Self {
        Self {
            enabled: true,
            poll_every: None,
            concurrency: None,
            deadline: None,
            kind: ProviderKind::Testcard,
        }
    }
}

impl ProviderKind {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Testcard => TESTCARD,
            Self::OpenAiCompatible(_) => OPENAI_COMPATIBLE,
            Self::Runway(_) => RUNWAY,
            Self::GoogleVertex(_) => GOOGLE_VERTEX,
        }
    }
}

/// Reads all of `sections`, and joins what they declare to what this release ships.
pub(super) fn read(
    figment: &Figment,
    sections: BTreeMap<String, Value>,
    faults: &mut Vec<String>,
) -> (BTreeMap<String, ProviderConfig>, Catalogue) {
    let built_in = Catalogue::built_in().expect("a test reads what this release ships");
    let mut providers = BTreeMap::new();
    let mut all = Models::default();
    for (name, value) in sections {
        let path = format!("providers.{name}");
        if let Some(why) = unfit_name(&name) {
            faults.push(format!("{path}: {why}"));
        }
        let Some(mut keys) = Keys::of(figment, path, value, faults) else {
            continue;
        };
        let read = provider(&name, &built_in, &mut keys);
        if read.is_some() {
            keys.done();
        }
        let Some((provider, models)) = read else {
            continue;
        };
        all.join(models);
        providers.insert(name, provider);
    }
    let catalogue = all.join_to(&built_in, faults).unwrap_or(built_in);
    (providers, catalogue)
}

/// One provider, and those of its models that could be read; `None` where nobody can tell what keys it may have.
fn provider(
    name: &str,
    built_in: &Catalogue,
    keys: &mut Keys<'_>,
) -> Option<(ProviderConfig, Models)> {
    let kind: Option<String> = keys.take("kind");
    let named = kind.is_some();
    let kind = kind.unwrap_or_else(|| name.to_owned());
    let enabled = keys.take("enabled").unwrap_or(true);
    let poll_every = keys.take("poll_every").map(|Span(span)| span);
    let concurrency = keys.take("concurrency");
    let deadline = keys.take("deadline").map(|Span(span)| span);
    let on = On { enabled, named };
    let (kind, models) = match kind.as_str() {
        TESTCARD => {
            let tables = keys.tables("models");
            let models = models(name, built_in, None, tables, keys);
            (ProviderKind::Testcard, models)
        }
        OPENAI_COMPATIBLE => {
            let (server, models) = server(name, enabled, built_in, keys);
            (ProviderKind::OpenAiCompatible(server), models)
        }
        RUNWAY => {
            let account = vendor(runway::BASE_URL, runway::KEY_VARIABLE, on, keys);
            let tables = keys.tables("models");
            let models = models(name, built_in, None, tables, keys);
            (ProviderKind::Runway(account), models)
        }
        GOOGLE_VERTEX => {
            let project = project(enabled, keys);
            let tables = keys.tables("models");
            let models = models(name, built_in, None, tables, keys);
            (ProviderKind::GoogleVertex(project), models)
        }
        other => {
            keys.fault(
                "kind",
                format!(
                    "{other:?} was given, and {TESTCARD}, {OPENAI_COMPATIBLE}, {RUNWAY} and {GOOGLE_VERTEX} are allowed"
                ),
            );
            return None;
        }
    };
    let config = ProviderConfig {
        enabled,
        poll_every,
        concurrency,
        deadline,
        kind,
    };
    Some((config, models))
}

/// The vendors whose usual variables hold a key, by the name they have then.
pub(super) fn from_environment(
    faults: &mut Vec<String>,
) -> impl Iterator<Item = (&'static str, ProviderConfig)> {
    let runway = variable(runway::KEY_VARIABLE).map(|api_key| {
        ProviderKind::Runway(VendorAccount {
            base_url: Url::parse(runway::BASE_URL).expect("an adapter knows its vendor's address"),
            api_key: Some(Secret::new(api_key)),
        })
    });
    let vertex = project_from_environment(faults).map(ProviderKind::GoogleVertex);
    [(RUNWAY, runway), (GOOGLE_VERTEX, vertex)]
        .into_iter()
        .filter_map(|(name, kind)| {
            let config = ProviderConfig {
                kind: kind?,
                ..ProviderConfig::default()
            };
            Some((name, config))
        })
}

fn unfit_name(name: &str) -> Option<String> {
    let plain = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '_' | '.')
    };
    let fits = !name.is_empty() && name.len() <= MOST_NAME_BYTES && name.chars().all(plain);
    (!fits).then(|| {
        format!("a name has 1 to {MOST_NAME_BYTES} lower-case letters, digits, -, _ and .")
    })
}
