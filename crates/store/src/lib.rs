//! What has happened: durable jobs, attempts, ledger, keys, idempotency, timeline and outbox.
//!
//! [`Store`] is the seam; SQLite stands behind it for one process, and PostgreSQL for any number. Both pass the suite in
//! `tests/it`. Exactly-once money rests on one call, [`Store::commit`]: no other statement writes a
//! job's state.
//!
//! Not here: what a change should be (`core::job`), when it happens (`engine`), who may ask (`api`).

pub mod postgres;
pub mod sqlite;

mod columns;
mod contents;
mod transitions;
mod turns;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use filmgate_core::action::Action;
use filmgate_core::calendar::Day;
use filmgate_core::id::{
    ActionId, GenerationId, HoldId, KeyId, ProviderKeyId, VideoId, WorkspaceId,
};
use filmgate_core::job::{Attempt, Done, Job, Status, TimelineEntry, Transition};
use filmgate_core::key::{Key, KeyChange, KeyRefusal, KeyStanding, ResetWithoutLimit, Workspace};
use filmgate_core::ledger::{Entry, PostingKind};
use filmgate_core::money::{Delta, Nanos};
use filmgate_core::provider_key::ProviderKey;
use filmgate_core::repeat::{Answer, RetryCount};
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use tokio::sync::broadcast;

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
    /// More waits to be written than the store takes on: nothing was done.
    #[error("the job store has more to write than it takes on")]
    Busy,
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
    /// Of a request without an idempotency key.
    pub fingerprint: Option<Fingerprint>,
}

/// What a repeated create is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// Of the API key, the dialect and the parsed request.
    pub digest: [u8; 32],
    /// Of the request at hand.
    pub retry: RetryCount,
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
    /// The request of this job once more, by its fingerprint: nothing was created, and the job's answer is open
    /// again.
    Repeated(VideoId),
    /// The key has as many jobs, or as much money spent, as it may: nothing was created.
    KeyRefused(KeyRefusal),
    /// `Funds::Needed`, and the hold does not fit: nothing was created.
    InsufficientFunds,
}

/// What an operator's change leaves beside itself, in the same transaction.
#[derive(Debug, Clone)]
pub struct Deed {
    /// Its line in the log.
    pub action: Action,
    pub binding: Option<Binding>,
}

/// What came of a change that may carry an idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub enum Once<T> {
    Done(T),
    /// The key was bound before: nothing was changed.
    AlreadyBound(Bound),
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
pub struct Page<T> {
    pub rows: Vec<T>,
    pub has_more: bool,
}

/// Who holds a lease: one process, told apart from its own restarts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkerId(pub String);

/// What a worker takes on when it claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intake {
    pub by: WorkerId,
    pub now: UnixTime,
    /// How long a claim holds without being renewed.
    pub lease: Duration,
    /// The same for a job that waits or is being submitted: longer than any call to a provider takes.
    pub submit_lease: Duration,
    pub limit: u32,
    pub places: Places,
}

/// How many jobs an account may have at its provider at once. An account without an entry has no such limit.
pub type Places = Arc<BTreeMap<ProviderName, u32>>;

/// How many jobs an account has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// That wait to be submitted.
    pub waiting: u64,
    /// At their provider, or on the way there: each takes a place.
    pub at_provider: u64,
}

/// An attempt whose provider succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Success {
    pub provider: ProviderName,
    pub native_model: String,
    pub accepted_at: UnixTime,
    pub done: Done,
}

/// A job taken up by a worker: `job.fence` is the worker's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub job: Job,
    pub lease_until: UnixTime,
    /// How often a lease on it ran out, this time included, since something last came of it: so often whoever had
    /// it died, or could not tell what became of it.
    pub strikes: u32,
    /// It was parked and its time is over.
    pub parked: bool,
}

/// A job that nobody works on until an operator says so, or its time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedJob {
    pub job: VideoId,
    pub workspace: WorkspaceId,
    pub model: String,
    /// The account it runs on, or was to be submitted on.
    pub account: ProviderName,
    pub status: Status,
    pub created_at: UnixTime,
    pub parked_at: UnixTime,
    pub reason: String,
    /// When it is ended all the same.
    pub until: UnixTime,
}

/// From when on rows are of no use to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prune {
    pub now: UnixTime,
    /// Timelines and outbox of jobs created before go.
    pub history_before: UnixTime,
    /// Of jobs that were created before and deleted by their owners, only the id stays, and what was paid for them.
    pub deleted_before: UnixTime,
    /// Secrets of provider keys that were deleted by then go, once no job may need them any more.
    pub provider_keys_before: UnixTime,
    /// The most rows of each kind.
    pub limit: u32,
}

/// How many rows went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    pub bindings: u64,
    pub timeline: u64,
    pub outbox: u64,
    pub deleted_jobs: u64,
    pub provider_key_secrets: u64,
}

impl Pruned {
    pub fn rows(&self) -> u64 {
        self.bindings + self.timeline + self.outbox + self.deleted_jobs + self.provider_key_secrets
    }
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
    /// Keys whose kept standing is not what their jobs and postings say.
    pub standings_wrong: u64,
    /// Jobs whose activity is not what their postings say.
    pub activity_wrong: u64,
}

/// A key with what proves its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    pub key: Key,
    pub secret_sha256: [u8; 32],
    /// The one before the last rotation; it counts until `key.previous_until`.
    pub previous_sha256: Option<[u8; 32]>,
}

/// A workspace's own credential with its secret, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProviderKey {
    pub key: ProviderKey,
    /// `None` once it was wiped.
    pub sealed: Option<Vec<u8>>,
}

/// A posting as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPosting {
    /// Grows from posting to posting.
    pub number: u64,
    pub workspace: WorkspaceId,
    pub job: Option<VideoId>,
    pub kind: PostingKind,
    pub hold: Option<HoldId>,
    pub at: UnixTime,
    pub reason: Option<String>,
    pub entries: Vec<Entry>,
}

/// Which settled jobs are meant. `None` means any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageFilter {
    pub workspace: Option<WorkspaceId>,
    pub key: Option<KeyId>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub from: UnixTime,
    /// The first instant that is no longer meant.
    pub until: UnixTime,
}

/// What usage is added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// The UTC day the money moved.
    Day,
    Workspace,
    Key,
    Model,
    Provider,
}

/// The sums of one group of settled jobs; of its marks, those that were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageRow {
    pub day: Option<Day>,
    pub workspace: Option<WorkspaceId>,
    pub key: Option<KeyId>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub jobs: u64,
    pub outputs: u64,
    pub output_ms: u64,
    pub user_cost: Nanos,
    pub provider_cost: Nanos,
}

/// A job that was completed, charged or paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityRow {
    pub job: VideoId,
    pub generation: GenerationId,
    pub created_at: UnixTime,
    /// When its money moved.
    pub at: UnixTime,
    pub workspace: WorkspaceId,
    pub key: KeyId,
    pub model: String,
    pub provider: String,
    pub status: Status,
    /// The word of `core::job::ChargeReason`.
    pub reason: String,
    pub outputs: u64,
    pub output_ms: u64,
    pub user_cost: Nanos,
    pub provider_cost: Nanos,
}

/// Which of two inserts came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    New,
    /// Something of that unique name is there already; nothing changed.
    Exists,
}

/// What another process on this database did, as a hint: it may come late, and some are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// These jobs changed; `due` if there may be work to claim.
    Changed { jobs: Vec<VideoId>, due: bool },
    /// Hints were lost: anything may have changed.
    Anything,
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Whether a read and a write would work now.
    async fn ping(&self) -> Result<(), StoreError>;
    /// The database's own time, where several processes go by it; `None` where only one can have it open.
    async fn shared_time(&self) -> Result<Option<UnixTime>, StoreError>;

    // Jobs, as clients see them.

    /// Creates the job with its hold, timeline, outbox and idempotency rows, or nothing of it.
    async fn create_job(&self, new: NewJob) -> Result<Created, StoreError>;
    /// Takes a request for a repeat as [`Store::create_job`] does, before there is a job to be made of it: answers the job
    /// whose request this is once more, and that job's answer is open again. `None` where there is none, or none yet:
    /// nothing was changed, and the create judges anew.
    async fn take_repeat(
        &self,
        fingerprint: Fingerprint,
        now: UnixTime,
    ) -> Result<Option<VideoId>, StoreError>;
    /// A job of `workspace`; another workspace's is `Absent`.
    async fn find_job(&self, workspace: WorkspaceId, id: VideoId) -> Result<Found, StoreError>;
    /// [`Store::find_job`] for a call that names the job: its client knows it from then on, and no create is taken
    /// for a repeat of its request any more.
    async fn acknowledge_job(
        &self,
        workspace: WorkspaceId,
        id: VideoId,
    ) -> Result<Found, StoreError>;
    /// Notes what became of the latest answers that named these jobs.
    async fn note_answers(&self, jobs: Vec<VideoId>, answer: Answer) -> Result<(), StoreError>;
    /// The version alone, for a poll that has seen the rest. `None` where [`Store::find_job`] would not find
    /// a job.
    async fn version_of(
        &self,
        workspace: WorkspaceId,
        id: VideoId,
    ) -> Result<Option<u64>, StoreError>;
    /// The versions of those of these jobs that exist and are not deleted.
    async fn versions_of(&self, jobs: Vec<VideoId>) -> Result<Vec<(VideoId, u64)>, StoreError>;
    /// Hints of what other processes on this database change from now on. Nothing is ever heard where nobody else
    /// can have it open: there the channel is closed from the start, and who listens need not look on his own either.
    fn listen(&self) -> broadcast::Receiver<Heard>;
    /// A job by its audit id: a deleted one too, as far as deletion left it.
    async fn find_generation(
        &self,
        workspace: WorkspaceId,
        id: GenerationId,
    ) -> Result<Option<Recorded>, StoreError>;
    async fn list_jobs(&self, query: ListJobs) -> Result<Page<Job>, StoreError>;
    /// Oldest first.
    async fn timeline(&self, id: VideoId) -> Result<Vec<TimelineEntry>, StoreError>;
    /// By number.
    async fn attempts(&self, id: VideoId) -> Result<Vec<Attempt>, StoreError>;
    /// The latest attempts whose provider succeeded, up to `each` of a provider and its model; the oldest first. Those
    /// of releases that did not note when are not among them.
    async fn latest_successes(&self, each: u32) -> Result<Vec<Success>, StoreError>;
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
    ///
    /// Where more is due than can be claimed, half of the places are for jobs that somebody has begun on, as far as
    /// there are any: for those first that are to be fetched, whose links die, but a fourth for the others. Workspaces
    /// take turns with those that wait.
    ///
    /// A job that waits is only claimed while its account has a place at its provider. A place is taken from the
    /// claim on until the provider is done with the job; it is counted from the jobs themselves, so that none is lost
    /// with a worker.
    ///
    /// A job whose row cannot be read is parked.
    async fn claim_due(&self, intake: &Intake) -> Result<Vec<Claim>, StoreError>;
    /// When the next job can be claimed: the earliest instant at which one is due, not leased, and has a place.
    async fn next_due(
        &self,
        now: UnixTime,
        places: &Places,
    ) -> Result<Option<UnixTime>, StoreError>;
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

    /// Takes a job out of everybody's work until `until`, by its claim. `false` if the fence moved.
    async fn park(
        &self,
        id: VideoId,
        fence: u64,
        reason: &str,
        until: UnixTime,
        now: UnixTime,
    ) -> Result<bool, StoreError>;
    /// Gives a parked job back to work, as if nothing had happened to it. `None` if it is not parked.
    async fn unpark(
        &self,
        id: VideoId,
        now: UnixTime,
        action: Action,
    ) -> Result<Option<ParkedJob>, StoreError>;
    async fn find_parked(&self, id: VideoId) -> Result<Option<ParkedJob>, StoreError>;
    /// Oldest first, from behind the job `after`.
    async fn parked(
        &self,
        workspace: Option<WorkspaceId>,
        after: Option<VideoId>,
        limit: u32,
    ) -> Result<Page<ParkedJob>, StoreError>;
    /// How many jobs each account has, of those that have any under way.
    async fn loads(&self) -> Result<BTreeMap<ProviderName, Load>, StoreError>;
    /// Any job, whoever owns it; `None` for one that is deleted.
    async fn load_job(&self, id: VideoId) -> Result<Option<Job>, StoreError>;

    // Money.

    async fn balances(&self, workspace: WorkspaceId) -> Result<Balances, StoreError>;
    /// Puts `amount` into the workspace's available funds, or takes it out where it is negative; `reason` stands on
    /// the posting. The deed is bound to the posting's number. Fails if there is no such workspace.
    async fn post_credit(
        &self,
        workspace: WorkspaceId,
        amount: Delta,
        reason: &str,
        deed: Deed,
    ) -> Result<Once<StoredPosting>, StoreError>;
    async fn find_posting(&self, number: u64) -> Result<Option<StoredPosting>, StoreError>;
    /// Newest first, from before the posting `before`.
    async fn postings(
        &self,
        workspace: WorkspaceId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page<StoredPosting>, StoreError>;
    /// Sums over settled jobs, in the order of `by`. One row where `by` is empty.
    async fn usage(
        &self,
        filter: UsageFilter,
        by: Vec<Dimension>,
        limit: u32,
    ) -> Result<Page<UsageRow>, StoreError>;
    /// Settled jobs, the latest first, from behind the job `after`, which must be one of them.
    async fn activity(
        &self,
        filter: UsageFilter,
        after: Option<VideoId>,
        limit: u32,
    ) -> Result<Page<ActivityRow>, StoreError>;
    /// Whether activity has a row of this job of `workspace`.
    async fn has_activity(&self, workspace: WorkspaceId, job: VideoId) -> Result<bool, StoreError>;
    /// Recomputes every invariant from the rows; slow on large stores.
    async fn audit(&self) -> Result<Audit, StoreError>;
    /// How often `hold` was captured or released.
    async fn closings(&self, hold: HoldId) -> Result<u64, StoreError>;

    // Keys and workspaces.

    /// `Exists` if the name is taken.
    async fn insert_workspace(
        &self,
        workspace: Workspace,
        deed: Deed,
    ) -> Result<Once<Inserted>, StoreError>;
    /// Oldest first.
    async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError>;
    async fn find_workspace(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError>;
    /// `Exists` if the kid is taken.
    async fn insert_key(&self, key: StoredKey, deed: Deed) -> Result<Once<Inserted>, StoreError>;
    async fn find_key(&self, kid: &str) -> Result<Option<StoredKey>, StoreError>;
    async fn load_key(&self, id: KeyId) -> Result<Option<Key>, StoreError>;
    /// Oldest first, revoked ones included.
    async fn keys(&self, workspace: Option<WorkspaceId>) -> Result<Vec<Key>, StoreError>;
    /// Zero for a key that never made a job.
    async fn key_standing(&self, id: KeyId) -> Result<KeyStanding, StoreError>;
    /// Changes the terms; what was captured is counted anew where the reset changes. `None` if there is no such
    /// key.
    async fn change_key(
        &self,
        id: KeyId,
        change: KeyChange,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Option<Result<Key, ResetWithoutLimit>>, StoreError>;
    /// Gives the key a new secret; the one it has works until `previous_until`. `None`, and nothing changes, if
    /// there is no such key or it was revoked.
    async fn rotate_key(
        &self,
        id: KeyId,
        secret_sha256: [u8; 32],
        previous_until: UnixTime,
        deed: Deed,
    ) -> Result<Once<Option<Key>>, StoreError>;
    /// Revokes it now. `None` if there is no such key; revoking twice keeps the first instant and its line in the
    /// log.
    async fn revoke_key(
        &self,
        id: KeyId,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Option<Key>, StoreError>;
    /// `Exists` if the workspace has one of that provider which is not deleted.
    async fn insert_provider_key(
        &self,
        key: StoredProviderKey,
        deed: Deed,
    ) -> Result<Once<Inserted>, StoreError>;
    async fn load_provider_key(
        &self,
        id: ProviderKeyId,
    ) -> Result<Option<StoredProviderKey>, StoreError>;
    /// Oldest first, deleted ones included.
    async fn provider_keys(&self, workspace: WorkspaceId) -> Result<Vec<ProviderKey>, StoreError>;
    /// Gives it a new secret: the one it had is gone. `None`, and nothing changes, if there is no such key or it was
    /// deleted.
    async fn rotate_provider_key(
        &self,
        id: ProviderKeyId,
        sealed: Vec<u8>,
        hint: String,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Once<Option<ProviderKey>>, StoreError>;
    /// Deletes it now; its secret stays until [`Store::prune`] finds that no job may need it. `None` if there is no such
    /// key; deleting twice keeps the first instant and its line in the log.
    async fn delete_provider_key(
        &self,
        id: ProviderKeyId,
        now: UnixTime,
        deed: Deed,
    ) -> Result<Option<ProviderKey>, StoreError>;
    /// The operators' log, newest first, from behind the line `after`.
    async fn actions(
        &self,
        workspace: Option<WorkspaceId>,
        after: Option<ActionId>,
        limit: u32,
    ) -> Result<Page<Action>, StoreError>;

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

    // Housekeeping.

    /// Whether it is the caller's turn to do what all processes on this database share: `true` for one of them, if
    /// nobody began it within `every`.
    async fn begin_chore(
        &self,
        name: &str,
        now: UnixTime,
        every: Duration,
    ) -> Result<bool, StoreError>;
    /// Removes rows that are of no use any more, a few at a time.
    async fn prune(&self, what: Prune) -> Result<Pruned, StoreError>;

    /// Finishes what was taken on and closes. Calls after it answer [`StoreError::Closed`].
    async fn close(&self);
}
