//! The accounts at providers, made of what the configuration says: the place that names each adapter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use filmgate_catalogue::AudioMode;
use filmgate_core::address::AddressBlock;
use filmgate_core::provider::{Credential, Provider, Secret};
use filmgate_core::request::ProviderName;
use filmgate_engine::{Account, Line, Network, Outside};
use filmgate_providers::google_vertex::GoogleVertex;
use filmgate_providers::openai_compatible::OpenAiCompatible;
use filmgate_providers::runway::Runway;
use filmgate_testcard::{Testcard, TestcardService};
use tower::util::BoxCloneSyncService;

use crate::config::{Project, ProviderConfig, ProviderKind, Server, VendorAccount};

/// The testcard answers from memory; asking often costs little.
const TESTCARD_POLL_EVERY: Duration = Duration::from_millis(100);
/// A video takes minutes; this is often enough for whoever watches.
const SERVER_POLL_EVERY: Duration = Duration::from_secs(5);
/// Runway asks for 5 s between two looks at a task at least; its SDKs wait 6.
const RUNWAY_POLL_EVERY: Duration = Duration::from_secs(6);
/// Google's examples wait 15 s; a video takes half a minute at least.
const VERTEX_POLL_EVERY: Duration = Duration::from_secs(12);

/// What is on: accounts by name, and the service behind the testcard where it is among them.
pub(crate) struct Accounts {
    pub(crate) by_name: BTreeMap<ProviderName, Account>,
    pub(crate) testcard: Option<TestcardService>,
    /// The way to addresses in clients' requests; none on a machine without root certificates.
    pub(crate) outside: Option<Outside>,
}

impl Accounts {
    /// The accounts of `configured`, and the testcard's unless that was switched off. `opened` are the private networks
    /// that outputs may be fetched from.
    pub(crate) fn open(
        configured: &BTreeMap<String, ProviderConfig>,
        opened: &[AddressBlock],
    ) -> Result<Self> {
        let mut all = configured.clone();
        all.entry("testcard".to_owned()).or_default();
        let mut outside = None;
        let mut testcard = None;
        let mut by_name = BTreeMap::new();
        for (name, config) in all.into_iter().filter(|(_, config)| config.enabled) {
            let name = ProviderName(name);
            let account = match &config.kind {
                ProviderKind::Testcard => {
                    let service = testcard.get_or_insert_with(service).clone();
                    drawn_here(name.clone(), service)
                }
                ProviderKind::OpenAiCompatible(server) => {
                    reached(name.clone(), server, shared(&mut outside, opened)?)?
                }
                ProviderKind::Runway(account) => {
                    let adapter = Runway::new(name.clone(), &account.base_url);
                    let outside = shared(&mut outside, opened)?;
                    bought(adapter, account, outside, RUNWAY_POLL_EVERY)?
                }
                ProviderKind::GoogleVertex(project) => {
                    of_google(name.clone(), project, shared(&mut outside, opened)?)?
                }
            };
            let account = Account {
                poll_every: config.poll_every.unwrap_or(account.poll_every),
                concurrency: config.concurrency,
                deadline: config.deadline,
                ..account
            };
            by_name.insert(name, account);
        }
        let outside = shared(&mut outside, opened)
            .inspect_err(|error| tracing::warn!(error = %format!("{error:#}"), "no input can be fetched from an address"))
            .ok();
        Ok(Self {
            by_name,
            testcard,
            outside,
        })
    }
}

fn shared(made: &mut Option<Outside>, opened: &[AddressBlock]) -> Result<Outside> {
    Ok(match made {
        Some(made) => made.clone(),
        None => made.insert(Outside::new(opened.to_vec())?).clone(),
    })
}

fn service() -> TestcardService {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    TestcardService::new(cores)
}

fn drawn_here(name: ProviderName, service: TestcardService) -> Account {
    let line = Line::InProcess(BoxCloneSyncService::new(service));
    let credential = Credential {
        secret: Secret::new(""),
    };
    Account::new(
        Arc::new(Testcard::new(name)),
        line,
        credential,
        TESTCARD_POLL_EVERY,
    )
}

fn reached(name: ProviderName, server: &Server, outside: Outside) -> Result<Account> {
    let switched = server
        .models
        .iter()
        .filter(|model| model.audio == AudioMode::Toggle)
        .map(|model| model.native_model.clone());
    let adapter = OpenAiCompatible::new(name, &server.base_url, server.flavour);
    let credential = Credential {
        secret: server.api_key.clone().unwrap_or_else(|| Secret::new("")),
    };
    Ok(Account::new(
        Arc::new(
            adapter
                .with_sound_switches(switched)
                .that_calls_back(server.calls_back),
        ),
        Line::Network(Network::to(&server.base_url, outside)?),
        credential,
        SERVER_POLL_EVERY,
    ))
}

fn bought(
    adapter: impl Provider,
    account: &VendorAccount,
    outside: Outside,
    poll_every: Duration,
) -> Result<Account> {
    let credential = account.api_key.clone().map(|secret| Credential { secret });
    if credential.is_none() {
        let name = adapter.name();
        tracing::info!(provider.id = %name, "{name} has no key of the operator's; workspaces that have their own use it");
    }
    Ok(Account::new(
        Arc::new(adapter),
        Line::Network(Network::to(&account.base_url, outside)?),
        credential,
        poll_every,
    ))
}

fn of_google(name: ProviderName, project: &Project, outside: Outside) -> Result<Account> {
    let site = &project.site;
    let line = Network::to(&site.base(), outside)?;
    let line = site.further().iter().fold(line, Network::and_to);
    let credential = Credential {
        secret: project.key.clone(),
    };
    Ok(Account::new(
        Arc::new(GoogleVertex::new(name, site.clone())),
        Line::Network(line),
        credential,
        VERTEX_POLL_EVERY,
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use filmgate_catalogue::{Catalogue, InputSlot, Pair};
    use filmgate_core::facts::Mode;
    use filmgate_core::provider::Proposal;
    use filmgate_core::request::{Input, Request};
    use filmgate_core::time::UnixTime;
    use filmgate_providers::google_vertex::Site;
    use filmgate_providers::runway;
    use url::Url;

    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_795_420_800);

    /// The adapter behind a vendor that the built-in catalogue knows; `None` where there is none yet.
    fn adapter(vendor: &ProviderName) -> Option<Box<dyn Provider>> {
        Some(match vendor.0.as_str() {
            "runway" => {
                let base = Url::parse(runway::BASE_URL).unwrap();
                Box::new(Runway::new(vendor.clone(), &base))
            }
            "google-vertex" => {
                let site = Site {
                    project: "project".to_owned(),
                    location: "us-central1".to_owned(),
                    base_url: None,
                    storage_uri: None,
                };
                Box::new(GoogleVertex::new(vendor.clone(), site))
            }
            _ => return None,
        })
    }

    /// As many of a slot as it wants at least, and one where it wants none.
    fn filled(slot: &InputSlot) -> impl Iterator<Item = Input> {
        let input = Input {
            reference_type: slot.reference_type.clone(),
            bytes: 1000,
            sha256: "0".repeat(64),
            url: None,
            duration_ms: Some(5000),
            ..Input::at_url(slot.kind, slot.role, String::new())
        };
        std::iter::repeat_n(input, slot.min.max(1) as usize)
    }

    /// A plain order of `model` for every choice of slots.
    fn orders(model: &filmgate_catalogue::Model, pair: &Pair) -> Vec<Request> {
        let slots = &pair.capabilities.inputs;
        let choices = 0..1_u32 << slots.len();
        let order = |choice: u32| {
            let mut request = Request::new(model.id.clone(), "a boat");
            let chosen = slots.iter().enumerate();
            let chosen = chosen.filter(|(at, _)| choice & (1 << at) != 0);
            request.inputs = chosen.flat_map(|(_, slot)| filled(slot)).collect();
            request
        };
        choices.map(order).collect()
    }

    #[test]
    fn an_adapter_takes_whatever_the_catalogue_sells_of_its_vendor() {
        let catalogue = Catalogue::built_in().unwrap();
        let mut contradictions = Vec::new();
        let sold = catalogue.models().iter().flat_map(|model| {
            let alive = model.pairs.iter().filter(|pair| !pair.has_ended(NOW));
            alive.map(move |pair| (model, pair))
        });
        for (model, pair) in sold {
            let Some(adapter) = adapter(&pair.provider) else {
                continue;
            };
            let mut had: BTreeSet<&str> = BTreeSet::new();
            for request in orders(model, pair) {
                let Ok(shape) = pair.capabilities.resolve(&request) else {
                    continue;
                };
                had.insert(shape.mode.map_or("none", Mode::as_str));
                let facts = pair.facts(&request, &shape);
                let proposal = Proposal {
                    native_model: pair.native_model(&facts),
                    request: &request,
                    shape: &shape,
                };
                if let Err(refusal) = adapter.check(proposal) {
                    contradictions.push(format!("{}: {}: {refusal}", model.id, pair.provider));
                }
            }
            let modes = pair.capabilities.modes.iter();
            let missing = modes.filter(|mode| !had.contains(mode.as_str()));
            contradictions.extend(missing.map(|mode| {
                let mode = mode.as_str();
                format!("{}: {}: nothing makes {mode}", model.id, pair.provider)
            }));
        }
        assert!(contradictions.is_empty(), "{}", contradictions.join("\n"));
    }
}
