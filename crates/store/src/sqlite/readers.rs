//! Read-only connections beside the writer.
//!
//! A point read takes microseconds and runs where it is asked for. A scan goes to a thread that may block,
//! on connections of its own, so that a long audit never stands in front of a point read.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{STATEMENTS_KEPT, keep_plans};
use crate::StoreError;

#[derive(Debug)]
pub(super) struct Readers {
    points: Pool,
    scans: Arc<Pool>,
}

impl Readers {
    /// `count` connections of either kind.
    pub(super) fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        Ok(Self {
            points: Pool::open(path, count)?,
            scans: Arc::new(Pool::open(path, count)?),
        })
    }

    /// Runs `question` here and now: it must be a look-up by a unique key.
    pub(super) async fn point<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let place = self.points.place().await?;
        self.points.ask(place, question)
    }

    /// Runs `question` where blocking is allowed.
    pub(super) async fn scan<T, F>(&self, question: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let scans = Arc::clone(&self.scans);
        // Waiting for a connection takes no thread.
        let place = scans.place().await?;
        tokio::task::spawn_blocking(move || scans.ask(place, question))
            .await
            .map_err(|error| StoreError::Database(Box::new(error)))?
    }

    /// Waits for reads under way and closes every connection.
    pub(super) async fn close(&self) {
        self.points.close().await;
        self.scans.close().await;
    }
}

#[derive(Debug)]
struct Pool {
    idle: Mutex<Vec<Connection>>,
    places: Arc<Semaphore>,
    size: u32,
}

impl Pool {
    fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        let count = count.clamp(1, 64);
        let idle = (0..count).map(|_| open(path)).collect::<Result<_, _>>()?;
        Ok(Self {
            idle: Mutex::new(idle),
            places: Arc::new(Semaphore::new(count)),
            size: u32::try_from(count).unwrap_or(u32::MAX),
        })
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let places = Arc::clone(&self.places);
        places.acquire_owned().await.map_err(|_| StoreError::Closed)
    }

    fn ask<T>(
        &self,
        place: OwnedSemaphorePermit,
        question: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let borrowed = Borrowed {
            db: self.idle().pop(),
            pool: self,
            _place: place,
        };
        let db = borrowed.db.as_ref().ok_or(StoreError::Closed)?;
        question(db)
    }

    async fn close(&self) {
        // Whoever has all the places knows that nobody reads.
        let all = self.places.acquire_many(self.size).await;
        self.places.close();
        self.idle().clear();
        drop(all);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes back to the pool however the question ends, and gives up its place after that.
struct Borrowed<'a> {
    db: Option<Connection>,
    pool: &'a Pool,
    _place: OwnedSemaphorePermit,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.pool.idle().extend(self.db.take());
    }
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    keep_plans(&db)?;
    Ok(db)
}
