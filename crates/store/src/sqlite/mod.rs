//! The store in one SQLite file.
//!
//! One thread writes, in groups that share a sync (`writer`); read-only connections stand beside it
//! (`readers`). One file per aggregate holds its statements. Whoever opens the store has the data directory to
//! himself: keeping a second process out is the binary's business.
//!
//! Not here: the schema (`migrations/sqlite`).

mod backup;
mod migrate;
mod readers;
mod row;
mod writer;

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
mod outbox;
mod parking;
mod provider_keys;
mod repeats;
mod sealed;
mod standings;
mod timeline;
mod work;
mod workspaces;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
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
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::broadcast;

pub use self::backup::backup;
use self::claims::Turn;
use self::jobs::Creation;
use self::readers::Readers;
use self::row::JobRow;
use self::work::{Change, Outcome};
use self::writer::{Lane, Writer};
use crate::{
    ActivityRow, Audit, Balances, Basis, Bound, Claim, Committed, Created, Deed, Dimension,
    Fingerprint, Found, Heard, Inserted, Intake, ListJobs, Load, NewJob, Once, Page, ParkedJob,
    Places, Prune, Pruned, Recorded, Store, StoreError, StoredKey, StoredPosting,
    StoredProviderKey, Success, UsageFilter, UsageRow,
};

/// More than there are statements, so that none is ever prepared twice on a connection.
const STATEMENTS_KEPT: usize = 128;

/// The text of `sql/<name>.sqlite.sql`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/sql/",
            $name,
            ".sqlite.sql"
        ))
    };
}
use sql;

/// Where the file is, and how many read it at once.
#[derive(Debug, Clone)]
pub struct Config {
    /// Made if it is not there; its directory must be.
    pub path: PathBuf,
    /// Connections for point reads, and as many again for scans.
    pub readers: usize,
    /// The most writes of clients that wait; more are refused as [`StoreError::Busy`].
    pub queue: usize,
}

impl Config {
    /// A file at `path`, with as much of everything as suits most.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            readers: 4,
            queue: 4096,
        }
    }
}

/// A [`Store`] in one file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    turn: Arc<Turn>,
}

impl SqliteStore {
    /// Opens the file, brings its schema up to date and ends all leases in it. Blocks for as long as that
    /// takes.
    pub fn open(config: Config) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = Connection::open_with_flags(&config.path, flags).map_err(cannot_open)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        let mode = prepare(&db).map_err(cannot_open)?;
        if mode != "wal" {
            return Err(StoreError::Open(format!(
                "the file system does not take a write-ahead log (the journal mode stays {mode})"
            )));
        }
        migrate::run(&mut db)?;
        repeats::lose_all(&db)?;
        let ended = claims::end_all_leases(&db)?;
        if ended > 0 {
            tracing::info!(leases = ended, "ended the leases of a process that is gone");
        }
        let readers = Readers::open(&config.path, config.readers)?;
        let writer = Writer::start(db, config.queue)?;
        Ok(Self {
            writer,
            readers,
            turn: Arc::default(),
        })
    }
}

impl SqliteStore {
    /// Nobody can work on what nobody can read, and it must not keep others from their work.
    async fn park_unreadable(
        &self,
        id: String,
        error: StoreError,
        now: UnixTime,
    ) -> Result<(), StoreError> {
        tracing::error!(video.id = %id, error = &error as &dyn std::error::Error, "video {id} cannot be read and is parked");
        let reason = error.to_string();
        self.writer
            .run(Lane::Work, move |db| {
                parking::park_unreadable(db, &id, &reason, now)
            })
            .await
    }
}

fn cannot_open(error: rusqlite::Error) -> StoreError {
    StoreError::Open(error.to_string())
}

/// A statement is planned once. Otherwise SQLite plans anew whatever has a bound `LIMIT`, each time it is bound.
fn keep_plans(db: &Connection) -> Result<(), rusqlite::Error> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Sets the connection up and answers its journal mode.
fn prepare(db: &Connection) -> Result<String, rusqlite::Error> {
    keep_plans(db)?;
    db.execute_batch(
        "-- On disk before anyone is told.
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         -- What an owner deletes is overwritten, not only unlinked.
         PRAGMA secure_delete = ON;
         -- Undoing one operation of a group needs no file.
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -65536;
         -- Folding the log in costs two syncs: seldom enough to be shared by many groups, and the file is cut
         -- back after a burst.
         PRAGMA wal_autocheckpoint = 4000;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(Box::new(error))
    }
}

impl Inserted {
    /// By how many rows an insert made.
    fn by(rows: usize) -> Self {
        if rows == 0 { Self::Exists } else { Self::New }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        let beat = |db: &Connection| {
            db.prepare_cached("UPDATE heartbeat SET beats = beats + 1")?
                .execute([])?;
            Ok(())
        };
        self.writer.run(Lane::New, beat).await?;
        let read = |db: &Connection| {
            Ok(db
                .prepare_cached("SELECT beats FROM heartbeat")?
                .query_row([], |_| Ok(()))?)
        };
        self.readers.point(read).await
    }

    async fn shared_time(&self) -> Result<Option<UnixTime>, StoreError> {
        Ok(None)
    }

    #[tracing::instrument(name = "store.create_job", level = "debug", skip_all, fields(video.id = %new.job.admission.id))]
    async fn create_job(&self, new: NewJob) -> Result<Created, StoreError> {
        let creation = Creation::encode(new)?;
        self.writer.run(Lane::New, move |db| creation.run(db)).await
    }

    async fn take_repeat(
        &self,
        fingerprint: Fingerprint,
        now: UnixTime,
    ) -> Result<Option<VideoId>, StoreError> {
        self.writer
            .run(Lane::New, move |db| repeats::take(db, &fingerprint, now))
            .await
    }

    async fn find_job(&self, workspace: WorkspaceId, id: VideoId) -> Result<Found, StoreError> {
        self.readers.point(|db| jobs::find(db, workspace, id)).await
    }

    async fn acknowledge_job(
        &self,
        workspace: WorkspaceId,
        id: VideoId,
    ) -> Result<Found, StoreError> {
        let unacknowledged = self
            .readers
            .point(|db| repeats::has(db, workspace, id))
            .await?;
        if unacknowledged {
            let noted = self
                .writer
                .run(Lane::Work, move |db| repeats::acknowledge(db, id))
                .await;
            // A disk that takes no more can be read all the same. The next call names the job again.
            if let Err(error @ StoreError::Database(_)) = noted {
                tracing::warn!(video.id = %id, error = &error as &dyn std::error::Error, "that a client knows of video {id} cannot be noted now");
            } else {
                noted?;
            }
        }
        self.find_job(workspace, id).await
    }

    async fn note_answers(&self, jobs: Vec<VideoId>, answer: Answer) -> Result<(), StoreError> {
        self.writer
            .run(Lane::Work, move |db| {
                repeats::note_answers(db, &jobs, answer)
            })
            .await
    }

    async fn version_of(
        &self,
        workspace: WorkspaceId,
        id: VideoId,
    ) -> Result<Option<u64>, StoreError> {
        self.readers
            .point(|db| jobs::version_of(db, workspace, id))
            .await
    }

    async fn versions_of(&self, jobs: Vec<VideoId>) -> Result<Vec<(VideoId, u64)>, StoreError> {
        self.readers
            .scan(move |db| jobs::versions_of(db, jobs))
            .await
    }

    fn listen(&self) -> broadcast::Receiver<Heard> {
        // Nobody holds the other end: the file is this process's own.
        broadcast::channel(1).1
    }

    async fn find_generation(
        &self,
        workspace: WorkspaceId,
        id: GenerationId,
    ) -> Result<Option<Recorded>, StoreError> {
        self.readers
            .point(|db| jobs::find_generation(db, workspace, id))
            .await
    }

    #[tracing::instrument(name = "store.list_jobs", level = "debug", skip_all)]
    async fn list_jobs(&self, query: ListJobs) -> Result<Page<Job>, StoreError> {
        self.readers.scan(move |db| lists::list(db, &query)).await
    }

    async fn timeline(&self, id: VideoId) -> Result<Vec<TimelineEntry>, StoreError> {
        self.readers.scan(move |db| timeline::of_job(db, id)).await
    }

    async fn attempts(&self, id: VideoId) -> Result<Vec<Attempt>, StoreError> {
        self.readers.scan(move |db| attempts::of_job(db, id)).await
    }

    async fn latest_successes(&self, each: u32) -> Result<Vec<Success>, StoreError> {
        self.readers
            .scan(move |db| attempts::successes(db, each))
            .await
    }

    #[tracing::instrument(name = "store.delete_job", level = "debug", skip_all, fields(video.id = %id))]
    async fn delete_job(
        &self,
        id: VideoId,
        version: u64,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        self.writer
            .run(Lane::New, move |db| jobs::delete(db, id, version, now))
            .await
    }

    #[tracing::instrument(name = "store.claim_due", level = "debug", skip_all)]
    async fn claim_due(&self, intake: &Intake) -> Result<Vec<Claim>, StoreError> {
        let (asked, turn) = (intake.clone(), Arc::clone(&self.turn));
        let taken = self
            .writer
            .run(Lane::Work, move |db| claims::claim_due(db, &asked, &turn))
            .await?;
        let mut claims = Vec::with_capacity(taken.len());
        for taken in taken {
            match taken.row.into_job() {
                Ok(job) => claims.push(Claim {
                    job,
                    lease_until: taken.lease_until,
                    strikes: taken.strikes,
                    parked: taken.parked,
                }),
                Err(error) => self.park_unreadable(taken.id, error, intake.now).await?,
            }
        }
        Ok(claims)
    }

    async fn next_due(
        &self,
        now: UnixTime,
        places: &Places,
    ) -> Result<Option<UnixTime>, StoreError> {
        self.readers
            .point(|db| claims::next_due(db, now, places))
            .await
    }

    async fn renew(&self, id: VideoId, fence: u64, until: UnixTime) -> Result<bool, StoreError> {
        self.writer
            .run(Lane::Work, move |db| work::renew(db, id, fence, until))
            .await
    }

    async fn give_back(&self, id: VideoId, fence: u64) -> Result<(), StoreError> {
        self.writer
            .run(Lane::Work, move |db| work::give_back(db, id, fence))
            .await
    }

    async fn park(
        &self,
        id: VideoId,
        fence: u64,
        reason: &str,
        until: UnixTime,
        now: UnixTime,
    ) -> Result<bool, StoreError> {
        let reason = reason.to_owned();
        self.writer
            .run(Lane::Work, move |db| {
                parking::park(db, id, fence, &reason, until, now)
            })
            .await
    }

    async fn unpark(
        &self,
        id: VideoId,
        now: UnixTime,
        action: Action,
    ) -> Result<Option<ParkedJob>, StoreError> {
        self.writer
            .run(Lane::New, move |db| parking::unpark(db, id, now, &action))
            .await
    }

    async fn find_parked(&self, id: VideoId) -> Result<Option<ParkedJob>, StoreError> {
        self.readers.point(|db| parking::find(db, id)).await
    }

    async fn parked(
        &self,
        workspace: Option<WorkspaceId>,
        after: Option<VideoId>,
        limit: u32,
    ) -> Result<Page<ParkedJob>, StoreError> {
        self.readers
            .scan(move |db| parking::list(db, workspace, after, limit))
            .await
    }

    async fn loads(&self) -> Result<BTreeMap<ProviderName, Load>, StoreError> {
        self.readers.scan(loads::by_account).await
    }

    async fn load_job(&self, id: VideoId) -> Result<Option<Job>, StoreError> {
        let row = self.readers.point(|db| jobs::find_anywhere(db, id)).await?;
        row.map(JobRow::into_job).transpose()
    }

    #[tracing::instrument(name = "store.commit", level = "debug", skip_all, fields(video.id = %id))]
    async fn commit(
        &self,
        id: VideoId,
        basis: Basis,
        transition: Transition,
    ) -> Result<Committed, StoreError> {
        let change = Change::encode(id, basis, transition)?;
        Ok(
            match self
                .writer
                .run(Lane::Work, move |db| change.run(db))
                .await?
            {
                Outcome::Committed { version } => Committed::Committed { version },
                Outcome::Stale(row) => Committed::Stale(Box::new(row.into_job()?)),
                Outcome::Lost => Committed::Lost,
            },
        )
    }

    async fn balances(&self, workspace: WorkspaceId) -> Result<Balances, StoreError> {
        self.readers
            .point(|db| ledger::balances(db, workspace))
            .await
    }

    async fn post_credit(
        &self,
        workspace: WorkspaceId,
        amount: Delta,
        reason: &str,
        deed: Deed,
    ) -> Result<Once<StoredPosting>, StoreError> {
        let reason = reason.to_owned();
        self.writer
            .run(Lane::New, move |db| {
                ledger::post_credit(db, workspace, amount, &reason, &deed)
            })
            .await
    }

    async fn find_posting(&self, number: u64) -> Result<Option<StoredPosting>, StoreError> {
        self.readers
            .point(|db| ledger::find_posting(db, number))
            .await
    }

    async fn postings(
        &self,
        workspace: WorkspaceId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page<StoredPosting>, StoreError> {
        self.readers
            .scan(move |db| ledger::postings(db, workspace, before, limit))
            .await
    }

    #[tracing::instrument(name = "store.usage", level = "debug", skip_all)]
    async fn usage(
        &self,
        filter: UsageFilter,
        by: Vec<Dimension>,
        limit: u32,
    ) -> Result<Page<UsageRow>, StoreError> {
        self.readers
            .scan(move |db| activity::usage(db, &filter, &by, limit))
            .await
    }

    #[tracing::instrument(name = "store.activity", level = "debug", skip_all)]
    async fn activity(
        &self,
        filter: UsageFilter,
        after: Option<VideoId>,
        limit: u32,
    ) -> Result<Page<ActivityRow>, StoreError> {
        self.readers
            .scan(move |db| activity::list(db, &filter, after, limit))
            .await
    }

    async fn has_activity(&self, workspace: WorkspaceId, job: VideoId) -> Result<bool, StoreError> {
        self.readers
            .point(|db| activity::has(db, workspace, job))
            .await
    }

    #[tracing::instrument(name = "store.audit", level = "debug", skip_all)]
    async fn audit(&self) -> Result<Audit, StoreError> {
        self.readers.scan(ledger::audit).await
    }

    async fn closings(&self, hold: HoldId) -> Result<u64, StoreError> {
        self.readers.point(|db| ledger::closings(db, hold)).await
    }

    async fn insert_workspace(
        &self,
        workspace: Workspace,
        deed: Deed,
    ) -> Result<Once<Inserted>, StoreError> {
        self.writer
            .run(Lane::New, move |db| {
                workspaces::insert(db, &workspace, &deed)
            })
            .await
    }

    async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError> {
        self.readers.scan(workspaces::list).await
    }

    async fn find_workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        self.readers.point(|db| workspaces::find(db, id)).await
    }

    async fn insert_key(&self, key: StoredKey, deed: Deed) -> Result<Once<Inserted>, StoreError> {
        self.writer
            .run(Lane::New, move |db| keys::insert(db, &key, &deed))
            .await
    }

    async fn find_key(&self, kid: &str) -> Result<Option<StoredKey>, StoreError> {
        self.readers.point(|db| keys::find(db, kid)).await
    }

    async fn keys(&self, workspace: Option<WorkspaceId>) -> Result<Vec<Key>, StoreError> {
        self.readers.scan(move |db| keys::list(db, workspace)).await
    }

    async fn load_key(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.readers.point(|db| keys::load(db, id)).await
    }

    async fn key_standing(&self, id: KeyId) -> Result<KeyStanding, StoreError> {
        self.readers
            .point(|db| standings::find(db, &id.to_string()))
            .await
    }

    async fn change_key(
        &self,
        id: KeyId,
        change: KeyChange,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Option<Result<Key, ResetWithoutLimit>>, StoreError> {
        self.writer
            .run(Lane::New, move |db| {
                keys::change(db, id, &change, now, &deed)
            })
            .await
    }

    async fn rotate_key(
        &self,
        id: KeyId,
        secret_sha256: [u8; 32],
        previous_until: UnixTime,
        deed: Deed,
    ) -> Result<Once<Option<Key>>, StoreError> {
        self.writer
            .run(Lane::New, move |db| {
                keys::rotate(db, id, &secret_sha256, previous_until, &deed)
            })
            .await
    }

    async fn revoke_key(
        &self,
        id: KeyId,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Option<Key>, StoreError> {
        self.writer
            .run(Lane::New, move |db| keys::revoke(db, id, now, &deed))
            .await
    }

    async fn insert_provider_key(
        &self,
        key: StoredProviderKey,
        deed: Deed,
    ) -> Result<Once<Inserted>, StoreError> {
        self.writer
            .run(Lane::New, move |db| provider_keys::insert(db, &key, &deed))
            .await
    }

    async fn load_provider_key(
        &self,
        id: ProviderKeyId,
    ) -> Result<Option<StoredProviderKey>, StoreError> {
        self.readers.point(|db| provider_keys::load(db, id)).await
    }

    async fn provider_keys(&self, workspace: WorkspaceId) -> Result<Vec<ProviderKey>, StoreError> {
        self.readers
            .point(|db| provider_keys::list(db, workspace))
            .await
    }

    async fn rotate_provider_key(
        &self,
        id: ProviderKeyId,
        sealed: Vec<u8>,
        hint: String,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Once<Option<ProviderKey>>, StoreError> {
        self.writer
            .run(Lane::New, move |db| {
                provider_keys::rotate(db, id, &sealed, &hint, now, &deed)
            })
            .await
    }

    async fn delete_provider_key(
        &self,
        id: ProviderKeyId,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Option<ProviderKey>, StoreError> {
        self.writer
            .run(Lane::New, move |db| {
                provider_keys::delete(db, id, now, &deed)
            })
            .await
    }

    async fn actions(
        &self,
        workspace: Option<WorkspaceId>,
        after: Option<ActionId>,
        limit: u32,
    ) -> Result<Page<Action>, StoreError> {
        self.readers
            .scan(move |db| actions::list(db, workspace, after, limit))
            .await
    }

    async fn find_binding(
        &self,
        workspace: WorkspaceId,
        route: &str,
        key: &str,
        now: UnixTime,
    ) -> Result<Option<Bound>, StoreError> {
        self.readers
            .point(|db| idempotency::find(db, workspace, route, key, now))
            .await
    }

    async fn keep_sealed(
        &self,
        name: &str,
        sealed: &[u8],
        now: UnixTime,
    ) -> Result<Vec<u8>, StoreError> {
        let (name, sealed) = (name.to_owned(), sealed.to_owned());
        self.writer
            .run(Lane::New, move |db| sealed::keep(db, &name, &sealed, now))
            .await
    }

    async fn known_objects(&self, keys: Vec<String>) -> Result<Vec<String>, StoreError> {
        self.readers.scan(move |db| objects::known(db, keys)).await
    }

    async fn begin_chore(
        &self,
        name: &str,
        now: UnixTime,
        every: Duration,
    ) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.writer
            .run(Lane::Work, move |db| {
                housekeeping::begin_chore(db, &name, now, every)
            })
            .await
    }

    async fn prune(&self, what: Prune) -> Result<Pruned, StoreError> {
        self.writer
            .run(Lane::New, move |db| housekeeping::prune(db, what))
            .await
    }

    async fn close(&self) {
        // The readers first: the last connection to leave removes the log, and must be able to write.
        self.readers.close().await;
        self.writer.close().await;
    }
}
