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
