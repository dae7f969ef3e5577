//! A gateway in this process: opens what the configuration names and wires it together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use filmgate_api::{Api, Limits, Listener, Peer};
use filmgate_assets::Assets;
use filmgate_assets::signed_link::LinkKeys;
use filmgate_core::provider::Secret;
use filmgate_engine::clock::{Clock, SystemClock};
use filmgate_engine::keys::Bootstrap;
use filmgate_engine::seal::{MasterKey, callback_key, link_keys};
use filmgate_engine::{Engine, InputLinks, Outside, Wiring};
use filmgate_store::Store;
use filmgate_store::postgres::PostgresStore;
use filmgate_store::sqlite::SqliteStore;
use filmgate_testcard::TestcardService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::Accounts;
use crate::config::{Config, Database, StoreConfig};
use crate::data_dir::{DataDir, parse_master_key};

/// A shutdown that takes longer than this leaves the rest to the next start.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(20);

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
        let data_dir = DataDir::take(&config.data_directory())?;
        let master = match &config.security.master_key {
            Some(key) => parse_master_key(key.expose()).context("security.master_key")?,
            None => data_dir.master_key()?,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let store = open_store(&config.store).await?;
        let master = MasterKey::new(&master);
        let link_keys = link_keys(store.as_ref(), &master, clock.now()).await?;
        let callback_key = callback_key(store.as_ref(), &master, clock.now()).await?;
        let retention = config.assets.retention;
        let assets = Assets::open(config.assets)?;
        if let Err(fault) = assets.ping().await {
            // What passes delays jobs and nothing else; what does not would fail each of them.
            if !fault.may_pass() {
                return Err(fault).context("assets.url: the videos cannot be kept there");
            }
            tracing::warn!(
                error = &fault as &dyn std::error::Error,
                "assets.url: no video can be kept just now"
            );
        }
        let opened = &config.security.allow_private_networks;
        let Accounts {
            by_name,
            testcard,
            outside,
        } = Accounts::open(&config.providers, opened)?;
        let link_keys = Arc::new(link_keys);
        let engine = Engine::new(Wiring {
            store: Arc::clone(&store),
            assets,
            catalogue: Arc::new(config.catalogue),
            accounts: by_name,
            links: input_links(
                config.server.public_url.as_deref(),
                outside.as_ref(),
                &link_keys,
            ),
            outside,
            clock,
            engine: config.engine,
            billing: config.billing,
            retention,
            callback_key,
            master,
        });
        engine.set_clock().await?;
        let stop = CancellationToken::new();
        let api = Api {
            limits: Arc::new(Limits::new(&config.server, &engine)),
            engine: engine.clone(),
            link_keys,
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
        let app = filmgate_api::router(api).into_make_service_with_connect_info::<Peer>();
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let served = axum::serve(Listener::new(listener), app)
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
            // Sockets have left the server's connections behind.
            self.api.limits.watchers_left().await;
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

/// Providers fetch inputs from here where the public address is one that we would ask ourselves.
fn input_links(
    public_url: Option<&str>,
    outside: Option<&Outside>,
    keys: &Arc<LinkKeys>,
) -> Option<InputLinks> {
    let origin = public_url?.trim_end_matches('/');
    outside?.judge(&origin.parse().ok()?).ok()?;
    Some(InputLinks {
        origin: origin.to_owned(),
        keys: Arc::clone(keys),
    })
}

async fn open_store(config: &StoreConfig) -> Result<Arc<dyn Store>> {
    match config.database().map_err(|fault| anyhow!(fault))? {
        Database::Sqlite(path) => {
            let store = SqliteStore::open(filmgate_store::sqlite::Config::at(path))?;
            Ok(Arc::new(store))
        }
        Database::Postgres(url) => {
            let config = filmgate_store::postgres::Config {
                connections: config.connections,
                ..filmgate_store::postgres::Config::at(url)
            };
            Ok(Arc::new(PostgresStore::open(config).await?))
        }
    }
}
