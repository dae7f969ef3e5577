//! The store in a PostgreSQL database, of which any number of processes may be the gateway.
//!
//! Nothing is shared between processes but the database: a claim is safe by its fence, a commit by the version, money
//! by the schema. One file per aggregate holds its statements.
//!
//! Not here: the schema (`migrations/postgres`).

mod connections;
mod hints;
mod migrate;
mod processes;
mod row;
mod transitions;

mod actions;
mod activity;
mod attempts;
mod claims;
mod housekeeping;
mod idempotency;
mod jobs;
mod keys;
mod ledger;
mod lists;
mod loads;
mod objects;
mod parking;
mod provider_keys;
mod repeats;
mod sealed;
mod standings;
mod timeline;
mod work;
mod workspaces;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use filmgate_core::action::Action;
use filmgate_core::id::{
    ActionId, GenerationId, HoldId, KeyId, ProviderKeyId, VideoId, WorkspaceId,
};
use filmgate_core::job::{Attempt, Job, TimelineEntry, Transition};
use filmgate_core::key::{Key, KeyChange, KeyStanding, ResetWithoutLimit, Workspace};
use filmgate_core::money::Delta;
use filmgate_core::provider_key::ProviderKey;
use filmgate_core::repeat::Answer;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use self::claims::Turn;
use self::connections::{Connections, LONGEST_WAIT, was_undone};
use self::hints::Hints;
use self::jobs::Creation;
use self::work::Change;
use crate::{
    ActivityRow, Audit, Balances, Basis, Bound, Claim, Committed, Created, Deed, Dimension,
    Fingerprint, Found, Heard, Inserted, Intake, ListJobs, Load, NewJob, Once, Page, ParkedJob,
    Places, Prune, Pruned, Recorded, Store, StoreError, StoredKey, StoredPosting,
    StoredProviderKey, Success, UsageFilter, UsageRow,
};

/// The text of `sql/<name>.postgres.sql`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/sql/",
            $name,
            ".postgres.sql"
        ))
    };
}
use sql;

/// What the database undid for the sake of another transaction is tried so often before the caller is told.
const MOST_TRIES: u32 = 5;

/// Runs an operation, and again where the database undid it.
macro_rules! retried {
    ($operation:expr) => {{
        let mut tries = 1;
        loop {
            match $operation.await {
                Err(error) if tries < MOST_TRIES && was_undone(&error) => tries += 1,
                outcome => break outcome,
            }
        }
    }};
}

/// Where the database is, and how many connections go to it.
#[derive(Clone)]
pub struct Config {
    /// `postgres://user:password@host:port/database`, with `?sslmode=` and other parameters as usual.
    pub url: String,
    /// The most connections of this process.
    pub connections: u32,
}

impl Config {
    /// The database at `url`, with as much of everything as suits most.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections: 20,
        }
    }
}

/// Without the URL, which may hold a password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// A [`Store`] in one database.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Arc<Connections>,
    /// This process, as the others know it.
    process: String,
    turn: Turn,
    hints: Arc<Hints>,
    ear: PgPool,
    /// Ends with the store.
    background: Mutex<JoinSet<()>>,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date; of several processes that do so at once, one does it and the others
    /// wait.
    ///
    /// Fails in a clear sentence, which never has the URL's password in it, if the address makes no sense, nobody
    /// answers there, or the database is not one this release can work with.
    pub async fn open(config: Config) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(&config.url).map_err(|error| {
            StoreError::Open(format!("the database's address is not one: {error}"))
        })?;
        let options = connections::set_up(options);
        let mut db = connect(&options).await?;
        migrate::run(&mut db).await?;
        let process = processes::appear(&mut db).await?;
        // Whether it hears of the end of this connection or not.
        let _ = db.close().await;

        let ear = hints::ear(options.clone());
        let connections = Arc::new(Connections::new(options, config.connections));
        let mut background = JoinSet::new();
        let beats = processes::keep_beating(Arc::clone(&connections), process.clone());
        background.spawn(beats);
        let hints = Arc::new(Hints::new(process.clone()));
        background.spawn(hints::keep_telling(
            Arc::clone(&connections),
            Arc::clone(&hints),
        ));
        background.spawn(hints::keep_listening(ear.clone(), Arc::clone(&hints)));
        Ok(Self {
            hints,
            ear,
            connections,
            process,
            turn: Turn::default(),
            background: Mutex::new(background),
        })
    }
}

/// A connection for the start alone.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let at = format!("{}:{}", options.get_host(), options.get_port());
    let connecting = PgConnection::connect_with(options);
    match tokio::time::timeout(Duration::from_secs(10), connecting).await {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sqlx::Error::Database(error))) => Err(StoreError::Open(format!(
            "PostgreSQL at {at} refuses: {}",
            error.message()
        ))),
        Ok(Err(error)) => Err(StoreError::Open(format!(
            "PostgreSQL at {at} cannot be reached: {error}"
        ))),
        Err(_) => Err(StoreError::Open(format!(
            "PostgreSQL at {at} does not answer"
        ))),
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn ping(&self) -> Result<(), StoreError> {
        let mut db = self.connections.lend().await?;
        processes::beat(&mut db, &self.process).await
    }

    async fn shared_time(&self) -> Result<Option<UnixTime>, StoreError> {
        let mut db = self.connections.lend().await?;
        let millis: i64 =
            sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
                .fetch_one(&mut *db)
                .await?;
        Ok(Some(UnixTime::from_millis(millis)))
    }

    #[tracing::instrument(name = "store.create_job", level = "debug", skip_all, fields(video.id = %new.job.admission.id))]
    async fn create_job(&self, new: NewJob) -> Result<Created, StoreError> {
        let creation = Creation::encode(&new, &self.process)?;
        let mut db = self.connections.lend().await?;
        let created = retried!(creation.run(&mut db))?;
        if created == Created::New {
            self.hints.tell(new.job.admission.id, true);
        }
        Ok(created)
    }

    async fn take_repeat(
        &self,
        fingerprint: Fingerprint,
        now: UnixTime,
    ) -> Result<Option<VideoId>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(repeats::find_and_take(
            &mut db,
            &fingerprint,
            now,
            &self.process
        ))
    }

    async fn find_job(&self, workspace: WorkspaceId, id: VideoId) -> Result<Found, StoreError> {
        let mut db = self.connections.lend().await?;
        jobs::find(&mut db, workspace, id).await
    }

    async fn acknowledge_job(
        &self,
        workspace: WorkspaceId,
        id: VideoId,
    ) -> Result<Found, StoreError> {
        let mut db = self.connections.lend().await?;
        jobs::acknowledge(&mut db, workspace, id).await
    }

    async fn note_answers(&self, jobs: Vec<VideoId>, answer: Answer) -> Result<(), StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(repeats::note_answers(&mut db, &jobs, answer, &self.process))
    }

    async fn version_of(
        &self,
        workspace: WorkspaceId,
        id: VideoId,
    ) -> Result<Option<u64>, StoreError> {
        let mut db = self.connections.lend().await?;
        jobs::version_of(&mut db, workspace, id).await
    }

    async fn versions_of(&self, jobs: Vec<VideoId>) -> Result<Vec<(VideoId, u64)>, StoreError> {
        let mut db = self.connections.lend().await?;
        jobs::versions_of(&mut db, &jobs).await
    }

    fn listen(&self) -> broadcast::Receiver<Heard> {
        self.hints.listen()
    }

    async fn find_generation(
        &self,
        workspace: WorkspaceId,
        id: GenerationId,
    ) -> Result<Option<Recorded>, StoreError> {
        let mut db = self.connections.lend().await?;
        jobs::find_generation(&mut db, workspace, id).await
    }

    #[tracing::instrument(name = "store.list_jobs", level = "debug", skip_all)]
    async fn list_jobs(&self, query: ListJobs) -> Result<Page<Job>, StoreError> {
        let mut db = self.connections.lend().await?;
        lists::list(&mut db, &query).await
    }

    async fn timeline(&self, id: VideoId) -> Result<Vec<TimelineEntry>, StoreError> {
        let mut db = self.connections.lend().await?;
        timeline::of_job(&mut db, id).await
    }

    async fn attempts(&self, id: VideoId) -> Result<Vec<Attempt>, StoreError> {
        let mut db = self.connections.lend().await?;
        attempts::of_job(&mut db, id).await
    }

    async fn latest_successes(&self, each: u32) -> Result<Vec<Success>, StoreError> {
        let mut db = self.connections.lend().await?;
        attempts::successes(&mut db, each).await
    }

    #[tracing::instrument(name = "store.delete_job", level = "debug", skip_all, fields(video.id = %id))]
    async fn delete_job(
        &self,
        id: VideoId,
        version: u64,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let mut db = self.connections.lend().await?;
        let deleted = retried!(jobs::delete(&mut db, id, version, now))?;
        if deleted {
            self.hints.tell(id, false);
        }
        Ok(deleted)
    }

    #[tracing::instrument(name = "store.claim_due", level = "debug", skip_all)]
    async fn claim_due(&self, intake: &Intake) -> Result<Vec<Claim>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(claims::claim_due(&mut db, intake, &self.turn))
    }

    async fn next_due(
        &self,
        now: UnixTime,
        places: &Places,
    ) -> Result<Option<UnixTime>, StoreError> {
        let mut db = self.connections.lend().await?;
        claims::next_due(&mut db, now, places).await
    }

    async fn renew(&self, id: VideoId, fence: u64, until: UnixTime) -> Result<bool, StoreError> {
        let mut db = self.connections.lend().await?;
        work::renew(&mut db, id, fence, until).await
    }

    async fn give_back(&self, id: VideoId, fence: u64) -> Result<(), StoreError> {
        let mut db = self.connections.lend().await?;
        work::give_back(&mut db, id, fence).await
    }

    #[tracing::instrument(name = "store.commit", level = "debug", skip_all, fields(video.id = %id))]
    async fn commit(
        &self,
        id: VideoId,
        basis: Basis,
        transition: Transition,
    ) -> Result<Committed, StoreError> {
        let change = Change::encode(id, basis, &transition)?;
        let mut db = self.connections.lend().await?;
        let committed = retried!(change.run(&mut db))?;
        if let Committed::Committed { .. } = committed {
            self.hints.tell(id, false);
        }
        Ok(committed)
    }

    async fn park(
        &self,
        id: VideoId,
        fence: u64,
        reason: &str,
        until: UnixTime,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let mut db = self.connections.lend().await?;
        parking::park(&mut db, id, fence, reason, until, now).await
    }

    async fn unpark(
        &self,
        id: VideoId,
        now: UnixTime,
        action: Action,
    ) -> Result<Option<ParkedJob>, StoreError> {
        let mut db = self.connections.lend().await?;
        parking::unpark(&mut db, id, now, &action).await
    }

    async fn find_parked(&self, id: VideoId) -> Result<Option<ParkedJob>, StoreError> {
        let mut db = self.connections.lend().await?;
        parking::find(&mut db, id).await
    }

    async fn parked(
        &self,
        workspace: Option<WorkspaceId>,
        after: Option<VideoId>,
        limit: u32,
    ) -> Result<Page<ParkedJob>, StoreError> {
        let mut db = self.connections.lend().await?;
        parking::list(&mut db, workspace, after, limit).await
    }

    async fn loads(&self) -> Result<BTreeMap<ProviderName, Load>, StoreError> {
        let mut db = self.connections.lend().await?;
        loads::by_account(&mut db).await
    }

    async fn load_job(&self, id: VideoId) -> Result<Option<Job>, StoreError> {
        let mut db = self.connections.lend().await?;
        jobs::find_anywhere(&mut db, id).await
    }

    async fn balances(&self, workspace: WorkspaceId) -> Result<Balances, StoreError> {
        let mut db = self.connections.lend().await?;
        ledger::balances(&mut db, workspace).await
    }

    async fn post_credit(
        &self,
        workspace: WorkspaceId,
        amount: Delta,
        reason: &str,
        deed: Deed,
    ) -> Result<Once<StoredPosting>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(ledger::post_credit(
            &mut db, workspace, amount, reason, &deed
        ))
    }

    async fn find_posting(&self, number: u64) -> Result<Option<StoredPosting>, StoreError> {
        let mut db = self.connections.lend().await?;
        ledger::find_posting(&mut db, number).await
    }

    async fn postings(
        &self,
        workspace: WorkspaceId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page<StoredPosting>, StoreError> {
        let mut db = self.connections.lend().await?;
        ledger::postings(&mut db, workspace, before, limit).await
    }

    #[tracing::instrument(name = "store.usage", level = "debug", skip_all)]
    async fn usage(
        &self,
        filter: UsageFilter,
        by: Vec<Dimension>,
        limit: u32,
    ) -> Result<Page<UsageRow>, StoreError> {
        let mut db = self.connections.lend().await?;
        activity::usage(&mut db, &filter, &by, limit).await
    }

    #[tracing::instrument(name = "store.activity", level = "debug", skip_all)]
    async fn activity(
        &self,
        filter: UsageFilter,
        after: Option<VideoId>,
        limit: u32,
    ) -> Result<Page<ActivityRow>, StoreError> {
        let mut db = self.connections.lend().await?;
        activity::list(&mut db, &filter, after, limit).await
    }

    async fn has_activity(&self, workspace: WorkspaceId, job: VideoId) -> Result<bool, StoreError> {
        let mut db = self.connections.lend().await?;
        activity::has(&mut db, workspace, job).await
    }

    #[tracing::instrument(name = "store.audit", level = "debug", skip_all)]
    async fn audit(&self) -> Result<Audit, StoreError> {
        let mut db = self.connections.lend().await?;
        ledger::audit(&mut db).await
    }

    async fn closings(&self, hold: HoldId) -> Result<u64, StoreError> {
        let mut db = self.connections.lend().await?;
        ledger::closings(&mut db, hold).await
    }

    async fn insert_workspace(
        &self,
        workspace: Workspace,
        deed: Deed,
    ) -> Result<Once<Inserted>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(workspaces::insert(&mut db, &workspace, &deed))
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError> {
        let mut db = self.connections.lend().await?;
        workspaces::list(&mut db).await
    }

    async fn find_workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        let mut db = self.connections.lend().await?;
        workspaces::find(&mut db, id).await
    }

    async fn insert_key(&self, key: StoredKey, deed: Deed) -> Result<Once<Inserted>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(keys::insert(&mut db, &key, &deed))
    }

    async fn find_key(&self, kid: &str) -> Result<Option<StoredKey>, StoreError> {
        let mut db = self.connections.lend().await?;
        keys::find(&mut db, kid).await
    }

    async fn keys(&self, workspace: Option<WorkspaceId>) -> Result<Vec<Key>, StoreError> {
        let mut db = self.connections.lend().await?;
        keys::list(&mut db, workspace).await
    }

    async fn load_key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        let mut db = self.connections.lend().await?;
        keys::load(&mut db, id).await
    }

    async fn key_standing(&self, id: KeyId) -> Result<KeyStanding, StoreError> {
        let mut db = self.connections.lend().await?;
        standings::find(&mut db, id).await
    }

    async fn change_key(
        &self,
        id: KeyId,
        change: KeyChange,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Option<Result<Key, ResetWithoutLimit>>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(keys::change(&mut db, id, &change, now, &deed))
    }

    async fn rotate_key(
        &self,
        id: KeyId,
        secret_sha256: [u8; 32],
        previous_until: UnixTime,
        deed: Deed,
    ) -> Result<Once<Option<Key>>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(keys::rotate(
            &mut db,
            id,
            &secret_sha256,
            previous_until,
            &deed
        ))
    }

    async fn revoke_key(
        &self,
        id: KeyId,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Option<Key>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(keys::revoke(&mut db, id, now, &deed))
    }

    async fn insert_provider_key(
        &self,
        key: StoredProviderKey,
        deed: Deed,
    ) -> Result<Once<Inserted>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(provider_keys::insert(&mut db, &key, &deed))
    }

    async fn load_provider_key(
        &self,
        id: ProviderKeyId,
    ) -> Result<Option<StoredProviderKey>, StoreError> {
        let mut db = self.connections.lend().await?;
        provider_keys::load(&mut db, id).await
    }

    async fn provider_keys(&self, workspace: WorkspaceId) -> Result<Vec<ProviderKey>, StoreError> {
        let mut db = self.connections.lend().await?;
        provider_keys::list(&mut db, workspace).await
    }

    async fn rotate_provider_key(
        &self,
        id: ProviderKeyId,
        sealed: Vec<u8>,
        hint: String,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Once<Option<ProviderKey>>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(provider_keys::rotate(
            &mut db, id, &sealed, &hint, now, &deed
        ))
    }

    async fn delete_provider_key(
        &self,
        id: ProviderKeyId,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Option<ProviderKey>, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(provider_keys::delete(&mut db, id, now, &deed))
    }

    async fn actions(
        &self,
        workspace: Option<WorkspaceId>,
        after: Option<ActionId>,
        limit: u32,
    ) -> Result<Page<Action>, StoreError> {
        let mut db = self.connections.lend().await?;
        actions::list(&mut db, workspace, after, limit).await
    }

    async fn find_binding(
        &self,
        workspace: WorkspaceId,
        route: &str,
        key: &str,
        now: UnixTime,
    ) -> Result<Option<Bound>, StoreError> {
        let mut db = self.connections.lend().await?;
        idempotency::find(&mut db, workspace, route, key, now).await
    }

    async fn keep_sealed(
        &self,
        name: &str,
        sealed: &[u8],
        now: UnixTime,
    ) -> Result<Vec<u8>, StoreError> {
        let mut db = self.connections.lend().await?;
        sealed::keep(&mut db, name, sealed, now).await
    }

    async fn known_objects(&self, keys: Vec<String>) -> Result<Vec<String>, StoreError> {
        let mut db = self.connections.lend().await?;
        objects::known(&mut db, keys).await
    }

    async fn begin_chore(
        &self,
        name: &str,
        now: UnixTime,
        every: Duration,
    ) -> Result<bool, StoreError> {
        let mut db = self.connections.lend().await?;
        housekeeping::begin_chore(&mut db, name, now, every).await
    }

    async fn prune(&self, what: Prune) -> Result<Pruned, StoreError> {
        let mut db = self.connections.lend().await?;
        retried!(housekeeping::prune(&mut db, what))
    }

    async fn close(&self) {
        if self.connections.is_closed() {
            return;
        }
        let mut background = std::mem::take(
            &mut *self
                .background
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        background.shutdown().await;
        let left = async {
            let mut db = self.connections.lend().await?;
            processes::leave(&mut db, &self.process).await
        };
        if let Err(error) = left.await {
            tracing::warn!(%error, "this process will be missed before it is taken off the list");
        }
        self.connections.close().await;
        // It says goodbye to the server, which may have gone silent.
        let _ = tokio::time::timeout(LONGEST_WAIT, self.ear.close()).await;
    }
}
