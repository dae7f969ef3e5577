//! What has happened: durable jobs, attempts, ledger, keys, idempotency, timeline and outbox.
//!
//! [`Store`] is the seam; SQLite stands behind it, and PostgreSQL will. Both pass the suite in
//! `tests/it`. Exactly-once money rests on one call, [`Store::commit`]: no other statement writes a
//! job's state.
//!
//! Not here: what a change should be (`core::job`), when it happens (`engine`), who may ask (`api`).

pub mod sqlite;

use std::time::Duration;

use async_trait::async_trait;
use filmgate_core::id::{GenerationId, HoldId, KeyId, VideoId, WorkspaceId};
use filmgate_core::job::{Attempt, Job, Status, TimelineEntry, Transition};
use filmgate_core::key::{Key, Workspace};
use filmgate_core::money::{Delta, Nanos};
use filmgate_core::time::UnixTime;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be opened or is not one of ours.
    #[error("the job store cannot be opened: {0}")]
    Open(String),
    /// The schema was written by a newer release.
    #[error(
        "the job store has schema version {found}, and this release knows versions up to {known}; run the newer release"
    )]
    Newer { found: i64, known: i64 },
    /// The database failed; the cause is for the log.
    #[error("the job store failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row does not hold what its column promises.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
    /// The store is shutting down.
    #[error("the job store is closed")]
    Closed,
}

/// A job about to exist.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// At version 1, its life as in `opening`.
    pub job: Job,
    /// What `core::job::admit` made.
    pub opening: Transition,
    pub funds: Funds,
    pub binding: Option<Binding>,
}

/// Whether a hold must fit into the workspace's available funds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Funds {
    Needed,
    NotNeeded,
}

/// An idempotency key, bound to what it made in the transaction that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub workspace: WorkspaceId,
    /// The route's name, such as `videos.create`; keys of different routes never meet.
    pub route: String,
    pub key: String,
    /// Of the parsed body.
    pub digest: [u8; 32],
    /// From then on the key is free again.
    pub expires_at: UnixTime,
}

/// A key that is bound, and to what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub digest: [u8; 32],
    /// The job's id, or another object's in its text form.
    pub object: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    New,
    /// The idempotency key was bound before, to a job or by another body: nothing was created.
    AlreadyBound(Bound),
    /// `Funds::Needed`, and the hold does not fit: nothing was created.
    InsufficientFunds,
}

/// What an id leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    Job(Box<Job>),
    /// Deleted by its owner: the id stays known, the contents are gone.
    Deleted,
    Absent,
}

/// A job for the audit record.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub job: Job,
    /// Emptied by its owner: prompt, inputs, metadata and outputs are gone.
    pub deleted: bool,
}

/// A page of jobs: strictly after or before an id in the order asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ListJobs {
    pub workspace: WorkspaceId,
    pub order: Order,
    /// Continue behind this job. The caller has checked that it exists.
    pub after: Option<VideoId>,
    /// Stop short of this job: the page is the one that ends right before it.
    pub before: Option<VideoId>,
    /// Empty: any.
    pub status: Vec<Status>,
    pub model: Option<String>,
    /// As the public API shows it.
    pub provider: Option<String>,
    pub session_id: Option<String>,
    /// Inclusive bounds on creation, to the millisecond the id was minted in.
    pub created_from: Option<UnixTime>,
    pub created_until: Option<UnixTime>,
    pub limit: u32,
}

/// By creation, which is by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    NewestFirst,
    OldestFirst,
}

/// A page, in the order asked for, and whether more lies beyond it.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    pub jobs: Vec<Job>,
    pub has_more: bool,
}

/// Who holds a lease: one process, told apart from its own restarts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkerId(pub String);

/// A job taken up by a worker: `job.fence` is the worker's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub job: Job,
    pub lease_until: UnixTime,
}

/// What a commit is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// A worker's claim, at the version it saw.
    Claim {
        fence: u64,
        version: u64,
        after: AfterCommit,
    },
    /// The version a client's call saw; leases stay as they are.
    Seen { version: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterCommit {
    /// The worker goes on with the job; its lease stays.
    KeepLease,
    /// The worker is done for now.
    EndLease,
}

/// What came of a commit. All three are ordinary.
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// On disk, at this version.
    Committed { version: u64 },
    /// The version moved: apply the event to this job and commit again.
    Stale(Box<Job>),
    /// The fence moved: somebody else has the job. The attempt's native id, where it was unknown, is
    /// written regardless.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Balances {
    pub available: Delta,
    pub held: Delta,
}

/// What can be wrong with the books, counted over the whole store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    pub jobs: u64,
    pub jobs_not_terminal: u64,
    /// Holds neither captured nor released.
    pub holds_open: u64,
    /// Holds closed more than once.
    pub holds_closed_twice: u64,
    pub postings: u64,
    /// Postings whose entries do not sum to zero.
    pub postings_unbalanced: u64,
    /// Accounts whose kept balance is not the sum of their entries.
    pub balances_wrong: u64,
    /// The sum of all entries in nano-dollars.
    pub sum: i64,
}

/// A key with what proves its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    pub key: Key,
    pub secret_sha256: [u8; 32],
}

/// Which of two inserts came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    New,
    /// Something of that unique name is there already; nothing changed.
    Exists,
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Whether a read and a write would work now.
    async fn ping(&self) -> Result<(), StoreError>;

    // Jobs, as clients see them.

    /// Creates the job with its hold, timeline, outbox and idempotency rows, or nothing of it.
    async fn create_job(&self, new: NewJob) -> Result<Created, StoreError>;
    /// A job of `workspace`; another workspace's is `Absent`.
    async fn find_job(&self, workspace: WorkspaceId, id: VideoId) -> Result<Found, StoreError>;
    /// The version alone, for a poll that has seen the rest. `None` where [`Store::find_job`] would not find
    /// a job.
    async fn version_of(
        &self,
        workspace: WorkspaceId,
        id: VideoId,
    ) -> Result<Option<u64>, StoreError>;
    /// A job by its audit id: a deleted one too, as far as deletion left it.
    async fn find_generation(
        &self,
        workspace: WorkspaceId,
        id: GenerationId,
    ) -> Result<Option<Recorded>, StoreError>;
    async fn list_jobs(&self, query: ListJobs) -> Result<Page, StoreError>;
    /// Oldest first.
    async fn timeline(&self, id: VideoId) -> Result<Vec<TimelineEntry>, StoreError>;
    /// By number.
    async fn attempts(&self, id: VideoId) -> Result<Vec<Attempt>, StoreError>;
    /// Removes prompt, inputs, metadata and outputs of a terminal job at `version`; ledger, attempts and
    /// timeline stay. `false` if the version moved.
    async fn delete_job(
        &self,
        id: VideoId,
        version: u64,
        now: UnixTime,
    ) -> Result<bool, StoreError>;

    // Work.

    /// Claims up to `limit` due jobs, longest due first. A job claimed elsewhere is not seen until that lease
    /// has run out, and counts as due from then on.
    async fn claim_due(
        &self,
        by: &WorkerId,
        now: UnixTime,
        lease: Duration,
        limit: u32,
    ) -> Result<Vec<Claim>, StoreError>;
    /// When the next job can be claimed: the earliest instant at which one is due and not leased.
    async fn next_due(&self) -> Result<Option<UnixTime>, StoreError>;
    /// Prolongs the lease. `false` if the fence moved, or the lease was ended.
    async fn renew(&self, id: VideoId, fence: u64, until: UnixTime) -> Result<bool, StoreError>;
    /// Ends the lease without a change; the job can be claimed once it is due.
    async fn give_back(&self, id: VideoId, fence: u64) -> Result<(), StoreError>;
    /// Commits `transition` of job `id` whole: life, ledger entries, timeline, attempt and outbox rows.
    ///
    /// Fails without a trace if there is no such job, or if the schema refuses the transition, as it does a
    /// second closing of a hold.
    async fn commit(
        &self,
        id: VideoId,
        basis: Basis,
        transition: Transition,
    ) -> Result<Committed, StoreError>;

    // Money.

    async fn balances(&self, workspace: WorkspaceId) -> Result<Balances, StoreError>;
    /// Puts `amount` into the workspace's available funds; `reason` stands on the posting. Answers the
    /// balances after it. Fails if there is no such workspace.
    async fn top_up(
        &self,
        workspace: WorkspaceId,
        amount: Nanos,
        now: UnixTime,
        reason: &str,
    ) -> Result<Balances, StoreError>;
    /// Recomputes every invariant from the rows; slow on large stores.
    async fn audit(&self) -> Result<Audit, StoreError>;
    /// How often `hold` was captured or released.
    async fn closings(&self, hold: HoldId) -> Result<u64, StoreError>;

    // Keys and workspaces.

    async fn insert_workspace(&self, workspace: Workspace) -> Result<Inserted, StoreError>;
    /// Oldest first.
    async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError>;
    async fn find_workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError>;
    /// `Exists` if the kid is taken.
    async fn insert_key(&self, key: StoredKey) -> Result<Inserted, StoreError>;
    async fn find_key(&self, kid: &str) -> Result<Option<StoredKey>, StoreError>;
    /// Oldest first, revoked ones included.
    async fn keys(&self, workspace: Option<WorkspaceId>) -> Result<Vec<Key>, StoreError>;
    /// Revokes it now. `None` if there is no such key; revoking twice keeps the first instant.
    async fn revoke_key(&self, id: KeyId, now: UnixTime) -> Result<Option<Key>, StoreError>;

    // Idempotency, for a look before the work of admission.

    async fn find_binding(
        &self,
        workspace: WorkspaceId,
        route: &str,
        key: &str,
        now: UnixTime,
    ) -> Result<Option<Bound>, StoreError>;

    // Sealed secrets, opened by the caller's master key.

    /// Stores `sealed` under `name` if nothing is there; answers what is there afterwards.
    async fn keep_sealed(
        &self,
        name: &str,
        sealed: &[u8],
        now: UnixTime,
    ) -> Result<Vec<u8>, StoreError>;

    // Assets.

    /// Which of these object keys some row still names.
    async fn known_objects(&self, keys: Vec<String>) -> Result<Vec<String>, StoreError>;

    /// Finishes what was taken on and closes. Calls after it answer [`StoreError::Closed`].
    async fn close(&self);
}
