//! Connections: how they are set up, who gets one, and what only one transaction at a time may do.
//!
//! Most operations are one statement, which is a transaction of its own: it costs one round trip, and keeps the rows it
//! writes to itself for as long as its commit takes. The isolation is *read committed*: whoever waits for a row goes on
//! with the row as it is then.

use std::fmt::Write;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use filmgate_core::id::{KeyId, WorkspaceId};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, Postgres};
use sqlx::{AssertSqlSafe, Connection, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Binding, Fingerprint, StoreError};

/// Whoever finds no connection free for so long is refused; so is whoever gets no new one in that time.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is asked whether it still works before it is used.
const SURELY_ALIVE: Duration = Duration::from_secs(1);

/// What the server is told of every connection, whatever its own defaults are.
const SETTINGS: [(&str, &str); 11] = [
    ("default_transaction_isolation", "read committed"),
    // Every question is planned once, and answered through indexes row by row: its cost must not hang on what somebody
    // last counted in the tables. Of reports this is untrue, and they say so.
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    // Nobody who died, hangs or was cut off keeps rows to himself for long.
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// More than there are statements, so that none is planned twice on a connection without need.
const STATEMENTS_KEPT: usize = 256;

/// What every connection of ours is opened with.
pub(super) fn set_up(options: PgConnectOptions) -> PgConnectOptions {
    options
        .application_name("filmgate")
        .statement_cache_capacity(STATEMENTS_KEPT)
        .options(SETTINGS)
}

/// The connections of one store.
#[derive(Debug)]
pub(super) struct Connections {
    pool: PgPool,
    places: Arc<Semaphore>,
}

impl Connections {
    /// Up to `count`, opened when they are needed.
    pub(super) fn new(options: PgConnectOptions, count: u32) -> Self {
        let count = count.max(1);
        let pool = PgPoolOptions::new()
            .max_connections(count)
            .acquire_timeout(LONGEST_WAIT)
            .test_before_acquire(false)
            .before_acquire(|connection, lived| {
                Box::pin(async move {
                    if lived.idle_for > SURELY_ALIVE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Self {
            pool,
            places: Arc::new(Semaphore::new(count as usize)),
        }
    }

    /// A connection, for one operation.
    ///
    /// [`StoreError::Busy`] if others have all of them for too long; [`StoreError::Database`] if the server cannot be
    /// reached.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let places = Arc::clone(&self.places);
        let place = tokio::time::timeout(LONGEST_WAIT, places.acquire_owned())
            .await
            .map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::Closed)?;
        Ok(Lent {
            connection: self.pool.acquire().await?,
            _place: place,
        })
    }

    /// Waits for operations under way and closes every connection.
    pub(super) async fn close(&self) {
        self.places.close();
        self.pool.close().await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.places.is_closed()
    }
}

/// A connection in somebody's hands.
#[derive(Debug)]
pub(super) struct Lent {
    connection: PoolConnection<Postgres>,
    _place: OwnedSemaphorePermit,
}

impl Deref for Lent {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Something that only one transaction at a time may judge and change.
///
/// Held until the transaction has ended. Guards are taken in the order of their numbers, and before any row, so that
/// no two transactions wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Guard {
    number: i64,
    shared: bool,
}

impl Guard {
    /// What a key is allowed, and has used up of it.
    pub(super) fn of_key(key: KeyId) -> Self {
        Self::alone(b"key", &key.uuid().into_bytes())
    }

    /// A workspace's funds.
    pub(super) fn of_funds(workspace: WorkspaceId) -> Self {
        Self::alone(b"funds", &workspace.uuid().into_bytes())
    }

    /// An account's places.
    pub(super) fn of_account(name: &str) -> Self {
        Self::alone(b"account", name.as_bytes())
    }

    /// An idempotency key.
    pub(super) fn of_binding(binding: &Binding) -> Self {
        let workspace = binding.workspace.uuid().into_bytes();
        let of = [&workspace, binding.route.as_bytes(), binding.key.as_bytes()];
        Self::alone(b"binding", &of.join(&0))
    }

    /// The jobs of one fingerprint. First tries get on with each other; a retry wants to see all that was made before
    /// it, and have none made while it looks.
    pub(super) fn of_repeats(fingerprint: &Fingerprint) -> Self {
        Self {
            shared: !fingerprint.says_so(),
            ..Self::alone(b"repeats", &fingerprint.digest)
        }
    }

    fn alone(kind: &[u8], of: &[u8]) -> Self {
        // FNV-1a: the same in every release. Two things of one number would only wait for each other without need.
        let hashed = kind
            .iter()
            .chain(of)
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self {
            number: hashed.cast_signed(),
            shared: false,
        }
    }

    /// Whether it lets others of its kind in.
    pub(super) fn is_shared(self) -> bool {
        self.shared
    }

    pub(super) fn number(self) -> i64 {
        self.number
    }
}

/// Begins a transaction that has `guards`, in one round trip.
pub(super) async fn begin<'c>(
    db: &'c mut PgConnection,
    guards: &[Guard],
) -> Result<Transaction<'c, Postgres>, StoreError> {
    let mut guards = guards.to_vec();
    guards.sort_unstable();
    let mut statements = "BEGIN".to_owned();
    for guard in guards {
        let shared = if guard.shared { "_shared" } else { "" };
        // Writing to a string does not fail.
        let _ = write!(
            statements,
            "; SELECT pg_advisory_xact_lock{shared}({})",
            guard.number
        );
    }
    Ok(db.begin_with(AssertSqlSafe(statements)).await?)
}

/// Begins a transaction for a question about many rows. It takes as long as it takes, and is planned for what there is.
pub(super) async fn begin_report(
    db: &mut PgConnection,
) -> Result<Transaction<'_, Postgres>, StoreError> {
    let begun = db.begin_with(
        "BEGIN READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL plan_cache_mode = force_custom_plan;
         SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on",
    );
    Ok(begun.await?)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            other => Self::Database(Box::new(other)),
        }
    }
}

/// Whether the database undid a transaction for the sake of another one, so that it can be run again.
pub(super) fn was_undone(error: &StoreError) -> bool {
    let StoreError::Database(cause) = error else {
        return false;
    };
    let code = cause
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error)
        .and_then(sqlx::error::DatabaseError::code);
    // Serialization failure, deadlock.
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

#[cfg(test)]
mod tests {
    use filmgate_core::id::KeyId;
    use filmgate_core::repeat::RetryCount;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn guards_are_told_apart_by_kind_and_by_what_they_guard() {
        let id = |number| Uuid::from_u128(number);
        let guards = [
            Guard::of_key(KeyId::from_uuid(id(1))),
            Guard::of_key(KeyId::from_uuid(id(2))),
            Guard::of_funds(WorkspaceId::from_uuid(id(1))),
            Guard::of_funds(WorkspaceId::from_uuid(id(2))),
        ];
        let mut numbers = guards.map(Guard::number).to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), guards.len());
    }

    #[test]
    fn a_retry_and_its_first_try_meet_at_one_guard() {
        let guard = |retry| {
            Guard::of_repeats(&Fingerprint {
                digest: [7; 32],
                retry: RetryCount(retry),
            })
        };
        assert_eq!(guard(0).number(), guard(1).number());
        assert!(guard(0).is_shared() && !guard(1).is_shared());
    }
}
