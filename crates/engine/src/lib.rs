//! What happens next: admission of requests, and the loop that brings every job to its end.
//!
//! The loop claims due work, does one effect (a conversation with a provider, a file fetched), hands the
//! event to `core::job::apply` and commits the transition. Correctness rests on the fence the commit
//! checks, never on clocks or on this process staying alive.
//!
//! Not here: HTTP (`api`), SQL (`store`), any vendor by name (`providers`, `testcard`).

pub mod admission;
pub mod clock;
pub mod config;
pub mod credits;
pub mod entropy;
pub mod keys;
pub mod operator;
pub mod provider_keys;
pub mod seal;
pub mod upstream;

mod answers;
mod bell;
mod cadence;
mod callbacks;
mod calls;
mod commit;
mod converse;
mod driver;
mod health;
mod hear;
mod housekeeping;
mod parking;
mod providers;
mod stage;
mod tokens;
mod watch;

pub use admission::{AdmitError, Admitted, Ask, Caller, Given, How, Provenance, Quotation};
pub use answers::OpenAnswer;
pub use callbacks::{CallbackError, CallbackKey};
pub use calls::{CancelError, DeleteError, RetryError, Until};
pub use config::{BillingConfig, EngineConfig, InputsConfig};
pub use health::{Breaker, LastFailure, Standing};
pub use housekeeping::{Tidied, TidyError};
pub use operator::{Made, Operator};
pub use parking::ParkedError;
pub use providers::AccountState;
pub use upstream::{Account, InputLinks, Line, Network, Outside};
pub use watch::Watcher;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use filmgate_assets::Assets;
use filmgate_catalogue::Catalogue;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use filmgate_store::{Places, Store, WorkerId};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Each may take hundreds of megabytes while it is decoded.
const PICTURES_AT_ONCE: usize = 2;

/// The engine: cheap to clone, one per process.
#[derive(Clone)]
pub struct Engine(Arc<Parts>);

/// What an engine is made of. The binary chooses each.
pub struct Wiring {
    pub store: Arc<dyn Store>,
    pub assets: Assets,
    pub catalogue: Arc<Catalogue>,
    /// By the name they are configured under.
    pub accounts: BTreeMap<ProviderName, Account>,
    /// The way to addresses in clients' requests; without it those are refused.
    pub outside: Option<Outside>,
    /// How providers may fetch inputs; none where they cannot reach this gateway.
    pub links: Option<InputLinks>,
    pub clock: Arc<dyn clock::Clock>,
    pub engine: EngineConfig,
    pub billing: BillingConfig,
    /// How long what a job stored is kept after its end; for ever where not set.
    pub retention: Option<Duration>,
    pub callback_key: CallbackKey,
    /// Opens workspaces' own credentials.
    pub master: seal::MasterKey,
}

pub(crate) struct Parts {
    store: Arc<dyn Store>,
    assets: Assets,
    catalogue: Arc<Catalogue>,
    accounts: BTreeMap<ProviderName, Account>,
    outside: Option<Outside>,
    links: Option<InputLinks>,
    clock: Arc<dyn clock::Clock>,
    config: EngineConfig,
    billing: BillingConfig,
    retention: Option<Duration>,
    callback_key: CallbackKey,
    master: seal::MasterKey,
    own_accounts: provider_keys::Known,
    places: Places,
    worker: WorkerId,
    watch: watch::Watch,
    cadence: cadence::Cadence,
    health: health::Health,
    tokens: tokens::Tokens,
    long_texts: upstream::LongTexts,
    in_flight: admission::InFlight,
    given: answers::Given,
    /// Pictures decoded at once.
    decoding: Semaphore,
    /// Clients' files fetched at once.
    fetching: Semaphore,
    /// Whether the loop turns.
    turning: AtomicBool,
    bell: bell::Bell,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Engine {
    pub fn new(wiring: Wiring) -> Self {
        let started = wiring.clock.now();
        let worker = WorkerId(format!("{}-{}", started.millis(), hex_of(&entropy::draw())));
        let limited = wiring.accounts.iter().filter_map(|(name, account)| {
            let most = account.concurrency?;
            Some((name.clone(), most.get()))
        });
        Self(Arc::new(Parts {
            places: Arc::new(limited.collect()),
            retention: wiring.retention,
            callback_key: wiring.callback_key,
            master: wiring.master,
            own_accounts: provider_keys::Known::default(),
            store: wiring.store,
            assets: wiring.assets,
            catalogue: wiring.catalogue,
            accounts: wiring.accounts,
            outside: wiring.outside,
            links: wiring.links,
            fetching: Semaphore::new(wiring.engine.inputs.at_once as usize),
            clock: wiring.clock,
            config: wiring.engine,
            billing: wiring.billing,
            worker,
            watch: watch::Watch::default(),
            cadence: cadence::Cadence::default(),
            health: health::Health::default(),
            tokens: tokens::Tokens::default(),
            long_texts: upstream::LongTexts::new(),
            in_flight: admission::InFlight::default(),
            given: answers::Given::default(),
            decoding: Semaphore::new(PICTURES_AT_ONCE),
            turning: AtomicBool::new(false),
            bell: bell::Bell::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }))
    }

    pub fn now(&self) -> UnixTime {
        self.0.clock.now()
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    pub fn assets(&self) -> &Assets {
        &self.0.assets
    }

    pub fn catalogue(&self) -> &Catalogue {
        &self.0.catalogue
    }

    /// Whether accepted jobs are being worked on: the loop was started, and has neither been stopped nor failed.
    pub fn is_working(&self) -> bool {
        self.0.turning.load(Ordering::Relaxed) && !self.0.stop.is_cancelled()
    }

    /// Whether a provider of this name is configured here, with a credential of the operator's.
    pub fn has_account(&self, provider: &ProviderName) -> bool {
        let account = self.0.accounts.get(provider);
        account.is_some_and(|account| account.credential.is_some())
    }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
