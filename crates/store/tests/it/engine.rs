//! The engines under test. A further one is a further [`Engine`] and a further module in
//! [`on_every_engine`].

use std::path::PathBuf;
use std::sync::Arc;

use filmgate_store::Store;
use filmgate_store::sqlite::{Config, SqliteStore};
use tempfile::TempDir;

/// A database of one test's own, and what only its engine knows how to do.
pub(crate) trait Engine: Send + Sync {
    /// Opens a store on the database.
    fn open(&self) -> Arc<dyn Store>;
    /// Runs statements behind the store's back.
    fn tamper(&self, sql: &str);
    /// A further database of this engine, fresh.
    fn another(&self) -> Database;
}

/// A store on a fresh database.
pub(crate) struct Database {
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) store: Arc<dyn Store>,
}

impl Database {
    pub(crate) fn new(engine: impl Engine + 'static) -> Self {
        Self {
            store: engine.open(),
            engine: Box::new(engine),
        }
    }

    /// As a restart of the process does.
    pub(crate) async fn reopen(&mut self) {
        self.store.close().await;
        self.store = self.engine.open();
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

impl Engine for Sqlite {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(Config::at(self.path())).unwrap())
    }

    fn tamper(&self, sql: &str) {
        rusqlite::Connection::open(self.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    fn another(&self) -> Database {
        Database::new(Self::new())
    }
}

/// Makes a test of each named sentence for each engine.
macro_rules! on_every_engine {
    ($($sentence:ident),+ $(,)?) => {
        mod on_sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence($crate::engine::Database::new($crate::engine::Sqlite::new())).await;
            }
        )+}
    };
}
pub(crate) use on_every_engine;
