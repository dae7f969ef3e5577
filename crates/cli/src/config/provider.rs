//! The sections `[providers.NAME]`: accounts at providers, and the models that an operator declares for their own.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use figment::Figment;
use figment::value::Value;
use filmgate_catalogue::{
    Adjusted, AudioMode, Catalogue, Declared, DeclaredFault, DeclaredSeed, Price,
};
use filmgate_core::pricing::Meter;
use filmgate_core::provider::Secret;
use filmgate_core::request::ProviderName;
use filmgate_providers::google_vertex::{self, ServiceAccount, Site};
use filmgate_providers::openai_compatible::{Flavour, check_base_url, passthrough_objection};
use filmgate_providers::runway;
use serde::{Deserialize, Deserializer};
use url::Url;

use super::keys::Keys;
use super::variable;

const TESTCARD: &str = "testcard";
const OPENAI_COMPATIBLE: &str = "openai-compatible";
const RUNWAY: &str = "runway";
const GOOGLE_VERTEX: &str = "google-vertex";
/// What stands for telling the flavours apart by their answers.
const AUTO: &str = "auto";
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

/// A project at Google's cloud.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    pub(crate) site: Site,
    /// The text of a service account's key.
    pub(crate) key: Secret,
}

/// An account at a vendor whose address and models are known.
#[derive(Debug, Clone)]
pub(crate) struct VendorAccount {
    /// The vendor's own, unless something else stands in for it.
    pub(crate) base_url: Url,
    /// The operator's; without one only workspaces that have their own use it.
    pub(crate) api_key: Option<Secret>,
}

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

/// What a provider's section says of models, each with where it stands.
#[derive(Default)]
struct Models {
    declared: Vec<Declared>,
    declared_at: Vec<String>,
    adjusted: Vec<Adjusted>,
    adjusted_at: Vec<String>,
}

impl Models {
    fn join(&mut self, mut other: Self) {
        self.declared.append(&mut other.declared);
        self.declared_at.append(&mut other.declared_at);
        self.adjusted.append(&mut other.adjusted);
        self.adjusted_at.append(&mut other.adjusted_at);
    }

    /// `None`, with the faults noted, where something is wrong with it.
    fn join_to(&self, built_in: &Catalogue, faults: &mut Vec<String>) -> Option<Catalogue> {
        let mut note = |wrong: Vec<DeclaredFault>, places: &[String]| {
            faults.extend(
                wrong
                    .into_iter()
                    .map(|fault| format!("{}.{}: {}", places[fault.at], fault.key, fault.why)),
            );
        };
        let declared = built_in.clone().with(&self.declared);
        let adjusted = built_in.clone().adjusted(&self.adjusted);
        let adjusted = adjusted
            .map_err(|wrong| note(wrong, &self.adjusted_at))
            .ok();
        declared
            .map_err(|wrong| note(wrong, &self.declared_at))
            .ok()
            .and(adjusted)?
            .with(&self.declared)
            .ok()
    }
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

/// What the section says of itself.
#[derive(Debug, Clone, Copy)]
struct On {
    enabled: bool,
    /// Its kind is written down, so that it is meant even without a key of the operator's.
    named: bool,
}

/// An account whose key is written down, or in the variable that usually holds it. Without one it is for workspaces that
/// have their own.
fn vendor(base_url_known: &str, key_variable: &str, on: On, keys: &mut Keys<'_>) -> VendorAccount {
    let base_url = if keys.has("base_url") {
        base_url(keys)
    } else {
        Url::parse(base_url_known).expect("an adapter knows its vendor's address")
    };
    let written = keys.has("api_key");
    let api_key = api_key(on.enabled, keys).or_else(|| {
        (!written)
            .then(|| variable(key_variable))
            .flatten()
            .map(Secret::new)
    });
    if api_key.is_none() && on.enabled && !on.named && !written {
        keys.fault(
            "api_key",
            format!("it is required, unless the variable {key_variable} is set, or kind, for workspaces' own keys alone"),
        );
    }
    VendorAccount { base_url, api_key }
}

/// A project, whose key is written down or lies where the usual variable says.
fn project(enabled: bool, keys: &mut Keys<'_>) -> Project {
    let base_url = keys.has("base_url").then(|| base_url(keys));
    let written = keys.has("credentials");
    let text = credentials(enabled, keys);
    let account = text.as_ref().and_then(|text| {
        let read = ServiceAccount::read(text.expose());
        read.map_err(|bad| keys.fault("credentials", bad.to_string()))
            .ok()
    });
    if text.is_none() && enabled && !written {
        keys.fault(
            "credentials",
            format!(
                "it is required, unless the variable {} names a key's file",
                google_vertex::KEY_FILE_VARIABLE
            ),
        );
    }
    let given = |keys: &mut Keys<'_>, key: &'static str, variable_of: &str| -> Option<String> {
        keys.take(key).or_else(|| variable(variable_of))
    };
    let project = given(keys, "project", google_vertex::PROJECT_VARIABLE);
    let location = given(keys, "location", google_vertex::LOCATION_VARIABLE);
    let project = project.or_else(|| account.as_ref()?.project().map(str::to_owned));
    let site = Site {
        // Without its key, a provider that is off need not have one.
        project: project.unwrap_or_else(|| if enabled { "" } else { "none" }.to_owned()),
        location: location.unwrap_or_else(|| google_vertex::DEFAULT_LOCATION.to_owned()),
        base_url,
        storage_uri: keys.take("storage_uri"),
    };
    let unread = enabled && account.is_none();
    for (key, why) in site.faults() {
        // Where the key cannot be read, it may well name the project.
        if !(unread && key == "project" && site.project.is_empty()) {
            keys.fault(key, why);
        }
    }
    if let Some(bad) = account.and_then(|account| site.objection(&account)) {
        keys.fault("credentials", bad.to_string());
    }
    Project {
        site,
        key: text.unwrap_or_else(|| Secret::new("")),
    }
}

/// The text of a key: of the file that is named, or of the variable behind `env:`, which holds the key itself.
fn credentials(enabled: bool, keys: &mut Keys<'_>) -> Option<Secret> {
    let named = match keys.value("credentials") {
        None => variable(google_vertex::KEY_FILE_VARIABLE)?,
        Some(value) => match value.as_str() {
            Some(text) => text.to_owned(),
            None => {
                let allowed = "a text is allowed: a key's file, or env: and a variable's name";
                keys.fault("credentials", allowed);
                return None;
            }
        },
    };
    // A provider that is switched off need not have its key at hand.
    if !enabled {
        return None;
    }
    let read = match named.strip_prefix("env:") {
        Some(name) => variable(name).ok_or_else(|| format!("the variable {name} is not set")),
        None => std::fs::read_to_string(&named)
            .map_err(|error| format!("the file {named:?} cannot be read: {error}")),
    };
    read.map_err(|why| keys.fault("credentials", why))
        .ok()
        .map(Secret::new)
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

/// A project, where the usual variable names a key's file and that is one of a service account. Other tools are given other
/// credentials by the same variable, so those are no fault: they are none of ours.
fn project_from_environment(faults: &mut Vec<String>) -> Option<Project> {
    let file = variable(google_vertex::KEY_FILE_VARIABLE)?;
    let key = std::fs::read_to_string(file).ok()?;
    let account = ServiceAccount::read(&key).ok()?;
    let project = variable(google_vertex::PROJECT_VARIABLE);
    let location = variable(google_vertex::LOCATION_VARIABLE);
    let site = Site {
        project: project.or_else(|| account.project().map(str::to_owned))?,
        location: location.unwrap_or_else(|| google_vertex::DEFAULT_LOCATION.to_owned()),
        base_url: None,
        storage_uri: None,
    };
    if site.objection(&account).is_some() {
        return None;
    }
    let wrong = site.faults();
    faults.extend(
        wrong
            .iter()
            .map(|(key, why)| format!("the {key} of {GOOGLE_VERTEX} in the environment: {why}")),
    );
    wrong.is_empty().then(|| Project {
        site,
        key: Secret::new(key),
    })
}

fn server(
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

/// The list under `models`: a model that this release has there is changed, any other one is declared.
fn models(
    provider: &str,
    built_in: &Catalogue,
    flavour: Option<Flavour>,
    tables: Vec<Value>,
    keys: &mut Keys<'_>,
) -> Models {
    let mut models = Models::default();
    for (at, table) in tables.into_iter().enumerate() {
        let step = format!("models[{at}]");
        let place = format!("{}.{step}", keys.path());
        let Some(mut inner) = keys.inner(&step, table) else {
            continue;
        };
        let id: Option<String> = inner.need("id");
        let known = |id: &String| built_in.has_pair(id, provider);
        match id {
            Some(id) if known(&id) => {
                if let Some(adjusted) = adjusted(id, provider, &mut inner) {
                    models.adjusted.push(adjusted);
                    models.adjusted_at.push(place);
                }
            }
            id => {
                if let Some(model) = model(id, provider, flavour, &mut inner) {
                    models.declared.push(model);
                    models.declared_at.push(place);
                }
            }
        }
        inner.done();
    }
    models
}

/// What is changed about a model that this release has, if all of it could be read.
fn adjusted(id: String, provider: &str, keys: &mut Keys<'_>) -> Option<Adjusted> {
    let before = keys.faults();
    let enabled = keys.take("enabled").unwrap_or(true);
    let native_model = keys.take("native_model_id");
    let retires_on: Option<String> = keys.take("retires_on");
    let retires_on = retires_on.and_then(|text| {
        text.parse()
            .map_err(|error| keys.fault("retires_on", error))
            .ok()
    });
    let prices = prices(keys);
    (keys.faults() == before).then(|| Adjusted {
        id,
        provider: ProviderName(provider.to_owned()),
        enabled,
        native_model,
        retires_on,
        prices,
    })
}

/// Anything, where it was noted that there is none.
fn base_url(keys: &mut Keys<'_>) -> Url {
    let none = || Url::parse("http://none.invalid/").expect("this is an address");
    let Some(text) = keys.need::<String>("base_url") else {
        return none();
    };
    let checked = Url::parse(&text)
        .map_err(|_| "an http or https address with a host is allowed")
        .and_then(|url| check_base_url(&url).map(|()| url));
    checked.unwrap_or_else(|why| {
        keys.fault("base_url", why);
        none()
    })
}

/// The key itself, or `env:` and the variable that holds it. It is never repeated, however wrong it is.
fn api_key(enabled: bool, keys: &mut Keys<'_>) -> Option<Secret> {
    let value = keys.value("api_key")?;
    let Some(text) = value.as_str() else {
        keys.fault(
            "api_key",
            "a text is allowed: the key, or env: and a variable's name",
        );
        return None;
    };
    let key = match text.strip_prefix("env:") {
        None => text.to_owned(),
        // A provider that is switched off need not have its key at hand.
        Some(_) if !enabled => return None,
        Some(name) => {
            let Some(key) = variable(name) else {
                keys.fault("api_key", format!("the variable {name} is not set"));
                return None;
            };
            key
        }
    };
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        keys.fault("api_key", "it is empty, or has characters that no key has");
        return None;
    }
    Some(Secret::new(key))
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

/// A model, if enough of it could be read to be checked by the catalogue.
fn model(
    id: Option<String>,
    provider: &str,
    flavour: Option<Flavour>,
    keys: &mut Keys<'_>,
) -> Option<Declared> {
    let before = keys.faults();
    let native_model = keys.need("native_model_id");
    let durations = keys.need("durations");
    let sizes = keys.need("sizes");
    let name = keys.take("name");
    let audio = keys.take("audio").unwrap_or(AudioMode::Never);
    let seed: DeclaredSeed = keys.take("seed").unwrap_or_default();
    let negative_prompt = keys.take("negative_prompt").unwrap_or(false);
    let first_frame = keys.take("first_frame").unwrap_or(false);
    let max_samples: u32 = keys.take("sample_count").unwrap_or(1);
    let passthrough: Vec<String> = keys.take("passthrough").unwrap_or_default();
    let prices = prices(keys);
    if let Some(flavour) = flavour {
        let word = flavour.as_str();
        if audio == AudioMode::Toggle && !flavour.has_sound_switch() {
            keys.fault(
                "audio",
                format!("\"toggle\" was given, and {word} has no switch for it; never and always are allowed"),
            );
        }
        if max_samples > flavour.most_outputs() {
            keys.fault(
                "sample_count",
                format!(
                    "{max_samples} was given, and {word} hands over {} for each job",
                    flavour.most_outputs()
                ),
            );
        }
    }
    for objection in passthrough
        .iter()
        .filter_map(|key| passthrough_objection(key))
    {
        keys.fault("passthrough", objection);
    }
    if keys.faults() > before {
        return None;
    }
    Some(Declared {
        id: id?,
        name,
        provider: ProviderName(provider.to_owned()),
        native_model: native_model?,
        durations: durations?,
        sizes: sizes?,
        audio,
        seed,
        negative_prompt,
        first_frame,
        max_samples,
        passthrough,
        prices: prices.unwrap_or_default(),
    })
}

/// `price = { output_second = "0.02" }`, text so that no float is involved; or `prices`, as the built-in catalogue has
/// them.
fn prices(keys: &mut Keys<'_>) -> Option<Vec<Price>> {
    if keys.has("price") && keys.has("prices") {
        keys.fault(
            "price",
            "it was given beside prices; one of them is allowed",
        );
    }
    let listed: Option<Vec<Price>> = keys.take("prices");
    let Some(table) = keys.value("price") else {
        return listed;
    };
    let mut inner = keys.inner("price", table)?;
    let mut prices = Vec::new();
    for (key, meter) in [
        ("output_second", Meter::OutputSecond),
        ("output_video", Meter::OutputVideo),
    ] {
        let text: Option<String> = inner.take(key);
        let price =
            text.and_then(|text| text.parse().map_err(|error| inner.fault(key, error)).ok());
        prices.extend(price.map(|price| Price::of(meter, price)));
    }
    inner.done();
    Some(prices)
}

/// A length of time with its unit, such as `"5s"`, `"200ms"` or `"30m"`.
struct Span(Duration);

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

#[cfg(test)]
mod tests {
    use filmgate_core::request::ModelId;

    use super::super::tests::written;
    use super::super::{Config, Faults};
    use super::*;

    /// A whole provider; `{}` is where more keys of its model go.
    const GPU_BOX: &str = r#"
[providers.gpu-box]
kind = "openai-compatible"
base_url = "http://10.0.0.5:8000/v1"
api_key = "env:CARGO_PKG_NAME"
flavour = "sglang"
concurrency = 4
deadline = "30m"
poll_every = "2s"
[[providers.gpu-box.models]]
id = "local/wan-2.2"
native_model_id = "Wan-AI/Wan2.2-T2V-A14B"
durations = [4, 8]
sizes = ["1280x720", "720x1280"]
price = { output_second = "0.02" }
name = "Wan on our own"
audio = "always"
first_frame = true
seed = { min = 0, max = 99 }
negative_prompt = true
sample_count = 2
passthrough = ["guidance_scale"]
"#;

    fn faults(text: &str) -> Vec<String> {
        let Faults(faults) = written(text).unwrap_err();
        faults
    }

    fn server(config: &Config) -> &Server {
        match &config.providers["gpu-box"].kind {
            ProviderKind::OpenAiCompatible(server) => server,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_provider_of_ones_own_is_read_whole() {
        let config = written(GPU_BOX).unwrap();
        let provider = &config.providers["gpu-box"];
        assert_eq!(provider.poll_every, Some(Duration::from_secs(2)));
        assert_eq!(provider.deadline, Some(Duration::from_secs(1800)));
        assert_eq!(provider.concurrency, NonZeroU32::new(4));
        let server = server(&config);
        assert_eq!(server.base_url.as_str(), "http://10.0.0.5:8000/v1");
        assert_eq!(server.flavour, Some(Flavour::SgLang));
        // Cargo sets it for tests.
        assert_eq!(server.api_key, Some(Secret::new("filmgate")));
        let model = config.catalogue.find(&ModelId("local/wan-2.2".into()));
        let model = model.unwrap();
        assert_eq!(model.name, "Wan on our own");
        let pair = &model.pairs[0];
        assert_eq!(pair.native_model, "Wan-AI/Wan2.2-T2V-A14B");
        assert_eq!(pair.tariff.rules.len(), 1);
        assert_eq!(pair.capabilities.duration.default, Some(4));
        assert_eq!(pair.capabilities.passthrough, ["guidance_scale"]);
        assert_eq!(pair.capabilities.max_samples, 2);
        assert_eq!(pair.capabilities.seed.unwrap().max, 99);
    }

    #[test]
    fn little_has_to_be_said() {
        let text = "[providers.openai-compatible]\nbase_url = \"https://h/v1\"\n[[providers.openai-compatible.models]]\nid = \"a/b\"\nnative_model_id = \"b\"\ndurations = { min = 1, max = 16 }\nsizes = [\"832x480\"]";
        let config = written(text).unwrap();
        let provider = &config.providers["openai-compatible"];
        assert_eq!((provider.poll_every, provider.deadline), (None, None));
        let model = config.catalogue.find(&ModelId("a/b".into())).unwrap();
        let capabilities = &model.pairs[0].capabilities;
        assert!(model.pairs[0].tariff.rules.is_empty());
        assert_eq!(
            (capabilities.audio, capabilities.seed),
            (AudioMode::Never, None)
        );
        assert!(capabilities.inputs.is_empty() && !capabilities.negative_prompt);
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_key() {
        let text = GPU_BOX
            .replace("http://10.0.0.5:8000/v1", "http://u:p@10.0.0.5/v1?x")
            .replace("env:CARGO_PKG_NAME", "env:NOBODY_SETS_THIS")
            .replace("\"sglang\"", "\"vllm\"")
            .replace("concurrency = 4", "concurrency = 0\nretries = 3")
            .replace("\"30m\"", "\"soon\"")
            .replace("[4, 8]", "\"4\"")
            .replace("\"720x1280\"", "\"720\"")
            .replace("\"0.02\"", "0.02")
            .replace(
                "[\"guidance_scale\"]",
                "[\"video_path\", \"seed\"]\ncolour = 1",
            )
            + "[[providers.gpu-box.models]]\nid = \"x/y\"\n";
        let faults = faults(&text);
        for (key, part) in [
            ("base_url", "api_key is the place"),
            ("api_key", "NOBODY_SETS_THIS"),
            ("flavour", "vllm-omni"),
            ("concurrency", "nonzero"),
            ("retries", "no such key"),
            ("deadline", "ms, s, m or h"),
            ("models[0].durations", "[4, 8]"),
            ("models[0].sizes", "720"),
            ("models[0].price.output_second", "string"),
            ("models[0].passthrough", "video_path"),
            ("models[0].passthrough", "own fields"),
            ("models[0].colour", "no such key"),
            ("models[1].native_model_id", "required"),
            ("models[1].durations", "required"),
            ("models[1].sizes", "required"),
        ] {
            let key = format!("providers.gpu-box.{key}");
            let told = faults
                .iter()
                .any(|fault| fault.starts_with(&key) && fault.contains(part));
            assert!(told, "{key} and {part} are not told in {faults:#?}");
        }
        assert_eq!(faults.len(), 15, "{faults:#?}");
    }

    #[test]
    fn what_the_catalogue_finds_wrong_is_told_with_the_key_too() {
        let twice = GPU_BOX
            .replace("[4, 8]", "[4, 200]")
            .replace("sample_count = 2", "sample_count = 7")
            + "[[providers.gpu-box.models]]\nid = \"testcard\"\nnative_model_id = \"b\"\ndurations = [4]\nsizes = [\"832x480\"]\n";
        let faults = faults(&twice);
        let keys: Vec<&str> = faults
            .iter()
            .map(|fault| fault.split(": ").next().unwrap())
            .collect();
        assert_eq!(
            keys,
            [
                "providers.gpu-box.models[0].durations",
                "providers.gpu-box.models[0].sample_count",
                "providers.gpu-box.models[1].id"
            ]
        );
    }

    #[test]
    fn a_model_of_this_release_is_changed_by_its_id() {
        let text = r#"
[providers.runway]
api_key = "key"
[[providers.runway.models]]
id = "runway/gen-4.5"
native_model_id = "gen4.5-later"
retires_on = "2027-01-31"
prices = [{ meter = "credit", usd = "0.009", credits_per_second = 12 }]
[[providers.runway.models]]
id = "runway/gen-4-turbo"
enabled = false
"#;
        let config = written(text).unwrap();
        let pairs = |id: &str| {
            let model = config.catalogue.find(&ModelId(id.into())).unwrap();
            model.pairs.clone()
        };
        let pair = &pairs("runway/gen-4.5")[0];
        assert_eq!(pair.native_model, "gen4.5-later");
        assert_eq!(pair.retires_on.unwrap().to_string(), "2027-01-31");
        assert_eq!(pair.tariff.rules[0].price_nanos.get(), 9_000_000);
        let providers = pairs("runway/gen-4-turbo");
        assert!(providers.iter().all(|pair| pair.provider.0 != "runway"));
        let wrong = text
            .replace("\"2027-01-31\"", "\"soon\"\ndurations = [4]")
            .replace("meter = \"credit\"", "metre = \"credit\"");
        let faults = faults(&wrong);
        for part in [
            "models[0].retires_on",
            "models[0].prices",
            "models[0].durations",
        ] {
            assert!(
                faults.iter().any(|fault| fault.contains(part)),
                "{part} is not told in {faults:?}"
            );
        }
    }

    #[test]
    fn what_a_flavour_has_no_word_for_is_refused() {
        let text = GPU_BOX
            .replace("\"sglang\"", "\"openai\"")
            .replace("\"always\"", "\"toggle\"");
        let faults = faults(&text);
        assert_eq!(faults.len(), 2, "{faults:#?}");
        assert!(faults[0].contains("models[0].audio") && faults[0].contains("openai"));
        assert!(faults[1].contains("models[0].sample_count"));
    }

    #[test]
    fn a_key_is_not_repeated_however_wrong_it_is() {
        for key in ["12345", "\"sk with space\"", "[\"sk\"]", "\"\""] {
            let faults = faults(&GPU_BOX.replace("\"env:CARGO_PKG_NAME\"", key));
            assert_eq!(faults.len(), 1);
            assert!(faults[0].contains("api_key") && !faults[0].contains("12345"));
            assert!(!faults[0].contains("sk "), "{faults:?}");
        }
    }

    #[test]
    fn a_provider_that_is_off_needs_no_key_and_keeps_its_models() {
        let text = GPU_BOX.replace("env:CARGO_PKG_NAME", "env:NOBODY_SETS_THIS");
        let text = text.replace("concurrency = 4", "concurrency = 4\nenabled = false");
        let config = written(&text).unwrap();
        assert!(!config.providers["gpu-box"].enabled);
        assert!(
            config
                .catalogue
                .find(&ModelId("local/wan-2.2".into()))
                .is_some()
        );
    }

    #[test]
    fn a_section_that_is_no_provider_is_refused() {
        for (text, part) in [
            ("[providers]\nbox = 3", "providers.box: a table"),
            ("[providers.nobody]", "providers.nobody.kind: \"nobody\""),
            (
                "[providers.testcard]\nbase_url = \"http://h/\"",
                "providers.testcard.base_url: there is no such key",
            ),
            ("[providers.\"A b\"]\nkind = \"testcard\"", "lower-case"),
            (
                "[providers.b]\nkind = \"openai-compatible\"\nbase_url = \"h\"\nmodels = 3",
                "providers.b.models: a list",
            ),
        ] {
            let faults = faults(text);
            assert!(
                faults.iter().any(|fault| fault.contains(part)),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn spans_have_a_unit() {
        let span = |text: &str| {
            let text = format!("[providers.testcard]\npoll_every = {text}");
            written(&text)
                .map(|config| config.providers["testcard"].poll_every.unwrap())
                .ok()
        };
        assert_eq!(span("\"200ms\""), Some(Duration::from_millis(200)));
        assert_eq!(span("\"2m\""), Some(Duration::from_secs(120)));
        assert_eq!(span("\"1h\""), Some(Duration::from_secs(3600)));
        for wrong in [
            "\"0s\"",
            "\"s\"",
            "\"5\"",
            "5",
            "\"1.5s\"",
            "\"99999999999999999999h\"",
        ] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }

    /// A key as the emulated project gives it out, in a file that is gone with the directory.
    fn key_file(token_uri: &str) -> (tempfile::TempDir, String) {
        let emulator = filmgate_upstreams::google_vertex::Emulator::new(Default::default());
        let mut key = emulator.service_account("http://127.0.0.1:9");
        key["token_uri"] = token_uri.into();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key.json");
        std::fs::write(&file, key.to_string()).unwrap();
        let path = file.display().to_string();
        (directory, path)
    }

    #[test]
    fn a_project_of_googles_is_read_from_its_key() {
        let (_directory, file) = key_file("https://oauth2.googleapis.com/token");
        let section = format!("[providers.google-vertex]\ncredentials = {file:?}\n");
        let config = written(&section).unwrap();
        let ProviderKind::GoogleVertex(project) = &config.providers["google-vertex"].kind else {
            panic!("it is a project")
        };
        assert_eq!(project.site.project, "emulated-project");
        assert_eq!(project.site.location, "us-central1");
        assert!(project.key.expose().contains("BEGIN PRIVATE KEY"));
        let more = "project = \"other\"\nlocation = \"global\"\nstorage_uri = \"gs://films/x/\"";
        let config = written(&format!("{section}{more}")).unwrap();
        let ProviderKind::GoogleVertex(project) = &config.providers["google-vertex"].kind else {
            panic!("it is a project")
        };
        assert_eq!(project.site.project, "other");
        assert_eq!(
            project.site.base().as_str(),
            "https://aiplatform.googleapis.com/"
        );
    }

    #[test]
    fn what_is_wrong_with_a_project_is_told_under_its_key() {
        let (_directory, file) = key_file("https://tokens.example/token");
        let section = "[providers.google-vertex]\n";
        for (rest, key, part) in [
            (
                String::new(),
                "credentials",
                "GOOGLE_APPLICATION_CREDENTIALS",
            ),
            ("credentials = 3".into(), "credentials", "a text is allowed"),
            (
                "credentials = \"/no/such/file\"".into(),
                "credentials",
                "/no/such/file",
            ),
            (
                "credentials = \"env:NOBODY_SETS_THIS\"".into(),
                "credentials",
                "NOBODY_SETS_THIS",
            ),
            (
                "credentials = \"env:CARGO_PKG_NAME\"".into(),
                "credentials",
                "JSON",
            ),
            (
                format!("credentials = {file:?}"),
                "credentials",
                "token_uri",
            ),
            (
                format!(
                    "credentials = {file:?}\nbase_url = \"https://tokens.example\"\nstorage_uri = \"films\""
                ),
                "storage_uri",
                "gs://BUCKET/",
            ),
        ] {
            let faults = faults(&format!("{section}{rest}"));
            let key = format!("providers.google-vertex.{key}: ");
            assert_eq!(faults.len(), 1, "{faults:#?}");
            assert!(
                faults[0].starts_with(&key) && faults[0].contains(part),
                "{faults:#?}"
            );
        }
        assert!(written(&format!("{section}enabled = false")).is_ok());
    }
}
