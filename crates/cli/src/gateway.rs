//! A gateway in this process: opens what the configuration names and wires it together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use filmgate_api::{Api, Limits};
use filmgate_assets::Assets;
use filmgate_catalogue::Catalogue;
use filmgate_core::provider::{Credential, Secret};
use filmgate_core::request::ProviderName;
use filmgate_engine::clock::{Clock, SystemClock};
use filmgate_engine::keys::Bootstrap;
use filmgate_engine::seal::{MasterKey, link_keys};
use filmgate_engine::{Account, Engine, Line, Wiring};
use filmgate_store::Store;
use filmgate_store::sqlite::SqliteStore;
use filmgate_testcard::{Testcard, TestcardService};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ProviderConfig};
use crate::data_dir::{DataDir, parse_master_key};

/// A shutdown that takes longer than this leaves the rest to the next start.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(20);
/// The testcard answers from memory; asking often costs little.
const TESTCARD_POLL_EVERY: Duration = Duration::from_millis(100);

/// A gateway, wired and not yet listening.
pub(crate) struct Gateway {
    pub(crate) engine: Engine,
    pub(crate) data_dir: DataDir,
    api: Api,
    store: Arc<dyn Store>,
    testcard: Option<TestcardService>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Gateway {
    /// Opens store and assets and takes the data directory. Nothing runs yet.
    pub(crate) async fn open(config: Config) -> Result<Self> {
        let path = config.store.path().map_err(|fault| anyhow!(fault))?;
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(std::path::Path::new("."));
        let data_dir = DataDir::take(directory)?;
        let master = match &config.security.master_key {
            Some(key) => parse_master_key(key.expose()).context("security.master_key")?,
            None => data_dir.master_key()?,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let store = SqliteStore::open(filmgate_store::sqlite::Config::at(path))?;
        let store: Arc<dyn Store> = Arc::new(store);
        let link_keys = link_keys(store.as_ref(), &MasterKey::new(&master), clock.now()).await?;
        let retention = config.assets.retention;
        let assets = Assets::open(config.assets)?;
        let (accounts, testcard) = accounts(&config.providers)?;
        let engine = Engine::new(Wiring {
            store: Arc::clone(&store),
            assets,
            catalogue: Arc::new(Catalogue::built_in()?),
            accounts,
            clock,
            engine: config.engine,
            billing: config.billing,
            retention,
        });
        let stop = CancellationToken::new();
        let api = Api {
            limits: Arc::new(Limits::new(&config.server, &engine)),
            engine: engine.clone(),
            link_keys: Arc::new(link_keys),
            config: config.server,
            video: config.video,
            statuses: filmgate_api::StatusCache::default(),
            stop: stop.clone(),
        };
        Ok(Self {
            engine,
            data_dir,
            api,
            store,
            testcard,
            stop,
            tasks: TaskTracker::new(),
        })
    }

    /// The first key, on an empty store.
    pub(crate) async fn bootstrap(&self, given: Option<&Secret>) -> Result<Bootstrap> {
        Ok(self.engine.bootstrap(given).await?)
    }

    /// Starts the engine and serves on `listener` until [`Gateway::shutdown`].
    pub(crate) fn serve(&self, listener: TcpListener) {
        self.engine.start();
        let mut api = self.api.clone();
        // Port 0 is no address a client could use.
        if let Ok(address) = listener.local_addr() {
            api.config.listen = address.to_string();
        }
        let app = filmgate_api::router(api).into_make_service_with_connect_info::<SocketAddr>();
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let served = axum::serve(listener, app)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the listener failed");
            }
        });
    }

    /// Stops taking requests, finishes what was begun, gives claims back, closes the store.
    pub(crate) async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        let orderly = async {
            self.engine.shutdown().await;
            if let Some(testcard) = &self.testcard {
                testcard.shutdown().await;
            }
            self.tasks.wait().await;
        };
        if tokio::time::timeout(SHUTDOWN_PATIENCE, orderly)
            .await
            .is_err()
        {
            tracing::warn!("shutdown took too long; what is left is taken up at the next start");
        }
        self.store.close().await;
    }
}

fn accounts(
    configured: &BTreeMap<String, ProviderConfig>,
) -> Result<(BTreeMap<ProviderName, Account>, Option<TestcardService>)> {
    let mut all = configured.clone();
    all.entry("testcard".to_owned()).or_default();
    let mut accounts = BTreeMap::new();
    let mut testcard = None;
    for (name, config) in all.into_iter().filter(|(_, config)| config.enabled) {
        match config.kind.as_deref().unwrap_or(&name) {
            "testcard" => {
                let service = testcard.get_or_insert_with(|| {
                    let cores =
                        std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
                    TestcardService::new(cores)
                });
                let name = ProviderName(name);
                let account = Account {
                    provider: Arc::new(Testcard::new(name.clone())),
                    line: Line::InProcess(tower::util::BoxCloneSyncService::new(service.clone())),
                    credential: Credential {
                        secret: Secret::new(""),
                    },
                    poll_every: config.poll_every.unwrap_or(TESTCARD_POLL_EVERY),
                    concurrency: None,
                    deadline: None,
                };
                accounts.insert(name, account);
            }
            kind => {
                return Err(anyhow!(
                    "providers.{name}: kind {kind:?} was given, and testcard is allowed"
                ));
            }
        }
    }
    Ok((accounts, testcard))
}
