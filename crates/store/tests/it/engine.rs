//! The engines under test. A further one is a further [`Engine`] and a further module in
//! [`on_every_engine`].

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use filmgate_store::postgres::{self, PostgresStore};
use filmgate_store::sqlite::{self, SqliteStore};
use filmgate_store::{Store, StoreError};
use filmgate_testbed::Cluster;
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// A database of one test's own, and what only its engine knows how to do.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// Opens a store on the database.
    async fn open(&self) -> Arc<dyn Store>;
    /// Runs statements behind the store's back.
    fn tamper(&self, sql: &str);
    /// A further database of this engine, fresh.
    async fn another(&self) -> Database;
}

/// A store on a fresh database.
pub(crate) struct Database {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) store: Arc<dyn Store>,
}

impl Database {
    pub(crate) async fn new(engine: impl Engine + 'static) -> Self {
        Self {
            store: engine.open().await,
            engine: Box::new(engine),
        }
    }

    /// As a restart of the process does.
    pub(crate) async fn reopen(&mut self) {
        self.store.close().await;
        self.store = self.engine.open().await;
    }
}

/// A file in a directory that goes with the test.
pub(crate) struct Sqlite(TempDir);

impl Sqlite {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.0.path().to_owned()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("filmgate.db")
    }
}

#[async_trait]
impl Engine for Sqlite {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(sqlite::Config::at(self.path())).unwrap())
    }

    fn tamper(&self, sql: &str) {
        rusqlite::Connection::open(self.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    async fn another(&self) -> Database {
        Database::new(Self::new()).await
    }
}

/// A database in the cluster of all tests.
pub(crate) struct Postgres {
    url: String,
}

impl Postgres {
    /// With the schema in it: a copy of one that was brought up to date once, so that not every test waits for that.
    pub(crate) async fn new() -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let template = TEMPLATE.get_or_init(|| async {
            let empty = Self::empty();
            empty.open().await.close().await;
            empty.url.rsplit('/').next().unwrap().to_owned()
        });
        Self {
            url: Cluster::shared().database_like(template.await),
        }
    }

    /// Without anything in it.
    pub(crate) fn empty() -> Self {
        Self {
            url: Cluster::shared().database(),
        }
    }

    pub(crate) fn config(&self) -> postgres::Config {
        postgres::Config {
            connections: 10,
            ..postgres::Config::at(self.url.clone())
        }
    }

    pub(crate) async fn try_open(&self) -> Result<PostgresStore, StoreError> {
        PostgresStore::open(self.config()).await
    }

    /// What statements behind the store's back print: a line for each row.
    pub(crate) fn ask(&self, sql: &str) -> String {
        Cluster::shared().sql(&self.url, sql)
    }
}

#[async_trait]
impl Engine for Postgres {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.try_open().await.unwrap())
    }

    fn tamper(&self, sql: &str) {
        self.ask(sql);
    }

    async fn another(&self) -> Database {
        Database::new(Self::new().await).await
    }
}

/// Makes a test of each named sentence for each engine.
macro_rules! on_every_engine {
    ($($sentence:ident),+ $(,)?) => {
        mod on_sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                let engine = $crate::engine::Sqlite::new();
                super::$sentence($crate::engine::Database::new(engine).await).await;
            }
        )+}

        mod on_postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                let engine = $crate::engine::Postgres::new().await;
                super::$sentence($crate::engine::Database::new(engine).await).await;
            }
        )+}
    };
}
pub(crate) use on_every_engine;
