//! Servers that speak OpenAI's `/v1/videos`.

use filmgate_catalogue::{Catalogue, Declared};
use filmgate_core::provider::Secret;
use filmgate_providers::openai_compatible::Flavour;
use url::Url;

use super::super::keys::Keys;
use super::account::{api_key, base_url};
use super::models::{Models, models};

/// What stands for telling the flavours apart by their answers.
const AUTO: &str = "auto";

/// A server that speaks OpenAI's `/v1/videos`.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) base_url: Url,
    pub(crate) api_key: Option<Secret>,
    /// `None`: told apart by what it answers.
    pub(crate) flavour: Option<Flavour>,
    /// It is told where to call when a job has moved.
    pub(crate) calls_back: bool,
    pub(crate) models: Vec<Declared>,
}

pub(super) fn server(
    name: &str,
    enabled: bool,
    built_in: &Catalogue,
    keys: &mut Keys<'_>,
) -> (Server, Models) {
    let base_url = base_url(keys);
    let api_key = api_key(enabled, keys);
    let flavour = flavour(keys);
    let calls_back = keys.take("callbacks").unwrap_or(false);
    let tables = keys.tables("models");
    if tables.is_empty() {
        keys.fault("models", "none is declared; at least one is needed");
    }
    let models = models(name, built_in, flavour, tables, keys);
    let server = Server {
        base_url,
        api_key,
        flavour,
        calls_back,
        models: models.declared.clone(),
    };
    (server, models)
}

fn flavour(keys: &mut Keys<'_>) -> Option<Flavour> {
    let text: String = keys.take("flavour").unwrap_or_else(|| AUTO.to_owned());
    let flavour = Flavour::parse(&text);
    if flavour.is_none() && text != AUTO {
        let all = Flavour::ALL.map(Flavour::as_str).join(", ");
        keys.fault(
            "flavour",
            format!("{text:?} was given, and {AUTO}, {all} are allowed"),
        );
    }
    flavour
}
