//! Housekeeping: rows and objects that are of no use to anybody any more are removed, a few at a time.
//!
//! One process on a database does it for all; which one is settled in the store each time, so that nobody has to be
//! elected and a dead one is not missed.

use std::collections::HashSet;
use std::time::Duration;

use filmgate_assets::ObjectKey;
use filmgate_assets::sweep::SweepError;
use filmgate_core::time::UnixTime;
use filmgate_store::{Prune, Pruned, StoreError};

use crate::{Engine, Parts};

const LOOK_EVERY: Duration = Duration::from_secs(60);
const PRUNE_EVERY: Duration = Duration::from_secs(60);
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// A reading of the shared time that took longer both ways tells too little.
const SLOWEST_READING: Duration = Duration::from_secs(1);
/// Few enough that nobody waits for it.
const ROWS_AT_ONCE: u32 = 500;
/// A request that is being admitted may be pinned to a credential that was deleted since it was looked up: within this
/// time it is a job, or refused.
const ADMISSION_TAKES: Duration = Duration::from_secs(15 * 60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tidied {
    pub rows: Pruned,
    /// Objects that no row named.
    pub objects: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum TidyError {
    #[error("the job store failed")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Sweep(#[from] SweepError<StoreError>),
}

impl Engine {
    /// Does what is due of all housekeeping, as the loop does every minute.
    pub async fn tidy(&self) -> Result<Tidied, TidyError> {
        self.0.tidy().await
    }

    /// Does all housekeeping now, whoever's turn it is.
    pub async fn tidy_now(&self) -> Result<Tidied, TidyError> {
        let now = self.now();
        Ok(Tidied {
            rows: self.0.prune(now).await?,
            objects: self.0.sweep(now).await?,
        })
    }
}

impl Engine {
    /// Sets the clock by the time that all processes on the store share, where there is one.
    pub async fn set_clock(&self) -> Result<(), StoreError> {
        self.0.set_clock().await
    }
}

impl Parts {
    pub(crate) async fn keep_house(&self) {
        loop {
            if let Err(error) = self.set_clock().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the shared time cannot be read"
                );
            }
            if let Err(error) = self.tidy().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "housekeeping is put off"
                );
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    async fn set_clock(&self) -> Result<(), StoreError> {
        let asked = self.clock.now();
        if let Some(shared) = self.store.shared_time().await? {
            // It was read about half-way.
            let since = self.clock.now().since(asked) / 2;
            if since < SLOWEST_READING {
                self.clock.correct(shared.plus(since));
            }
        }
        Ok(())
    }

    async fn tidy(&self) -> Result<Tidied, TidyError> {
        let mut tidied = Tidied::default();
        let now = self.clock.now();
        if self.store.begin_chore("prune", now, PRUNE_EVERY).await? {
            tidied.rows = self.prune(now).await?;
        }
        if self.store.begin_chore("sweep", now, SWEEP_EVERY).await? {
            tidied.objects = self.sweep(now).await?;
        }
        if tidied != Tidied::default() {
            tracing::info!(
                rows = tidied.rows.rows(),
                objects = tidied.objects,
                "removed what nobody needs any more"
            );
        }
        Ok(tidied)
    }

    async fn prune(&self, now: UnixTime) -> Result<Pruned, StoreError> {
        let kept = DAY * self.config.history_days;
        let what = Prune {
            now,
            history_before: now.minus(kept),
            deleted_before: now.minus(kept),
            provider_keys_before: now.minus(ADMISSION_TAKES),
            limit: ROWS_AT_ONCE,
        };
        let mut all = Pruned::default();
        loop {
            let some = self.store.prune(what).await?;
            all.bindings += some.bindings;
            all.timeline += some.timeline;
            all.outbox += some.outbox;
            all.deleted_jobs += some.deleted_jobs;
            all.provider_key_secrets += some.provider_key_secrets;
            if some.rows() == 0 || self.stop.is_cancelled() {
                return Ok(all);
            }
        }
    }

    /// Removes objects that no row names and that are too old to belong to a job on its way.
    async fn sweep(&self, now: UnixTime) -> Result<u64, SweepError<StoreError>> {
        let known = async |keys: Vec<ObjectKey>| {
            let names = keys.iter().map(ToString::to_string).collect();
            let known: HashSet<String> =
                self.store.known_objects(names).await?.into_iter().collect();
            let is_known = |key: &ObjectKey| known.contains(&key.to_string());
            Ok(keys.into_iter().filter(is_known).collect())
        };
        Ok(self.assets.sweep(now, known).await?.removed)
    }
}
