//! A store behind a connection that is cut at the worst moment: what was asked for is done, and the answer is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
use filmgate_store::{
    ActivityRow, Audit, Balances, Basis, Bound, Claim, Committed, Created, Deed, Dimension,
    Fingerprint, Found, Heard, Inserted, Intake, ListJobs, Load, NewJob, Once, Page, ParkedJob,
    Places, Prune, Pruned, Recorded, Store, StoreError, StoredKey, StoredPosting,
    StoredProviderKey, Success, UsageFilter, UsageRow,
};
use tokio::sync::broadcast;

pub(crate) struct Lossy {
    store: Arc<dyn Store>,
    /// How many commits are answered before one is lost; `u32::MAX` where none is.
    until_one_is_lost: AtomicU32,
    forgets_to_give_back: AtomicBool,
}

impl Lossy {
    pub(crate) fn before(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            until_one_is_lost: AtomicU32::new(u32::MAX),
            forgets_to_give_back: AtomicBool::new(false),
        }
    }

    /// Once `before` commits were answered, nobody hears that the next one was made.
    pub(crate) fn lose_a_commit_after(&self, before: u32) {
        self.until_one_is_lost.store(before, Ordering::Relaxed);
    }

    /// From now on no lease is given back, as by processes that die just before.
    pub(crate) fn forget_to_give_back(&self) {
        self.forgets_to_give_back.store(true, Ordering::Relaxed);
    }
}

macro_rules! hand_on {
    ($($name:ident($($argument:ident: $of:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Store for Lossy {
            async fn commit(
                &self,
                id: VideoId,
                basis: Basis,
                transition: Transition,
            ) -> Result<Committed, StoreError> {
                let committed = self.store.commit(id, basis, transition).await?;
                let left = self.until_one_is_lost.load(Ordering::Relaxed);
                if left == u32::MAX {
                    return Ok(committed);
                }
                let then = left.checked_sub(1).unwrap_or(u32::MAX);
                self.until_one_is_lost.store(then, Ordering::Relaxed);
                if left > 0 {
                    return Ok(committed);
                }
                Err(StoreError::Database("the connection was cut".into()))
            }

            async fn give_back(&self, id: VideoId, fence: u64) -> Result<(), StoreError> {
                if self.forgets_to_give_back.load(Ordering::Relaxed) {
                    return Ok(());
                }
                self.store.give_back(id, fence).await
            }

            fn listen(&self) -> broadcast::Receiver<Heard> {
                self.store.listen()
            }

            $(async fn $name(&self, $($argument: $of),*) -> $answer {
                self.store.$name($($argument),*).await
            })*
        }
    };
}

hand_on! {
    ping() -> Result<(), StoreError>;
    shared_time() -> Result<Option<UnixTime>, StoreError>;
    create_job(new: NewJob) -> Result<Created, StoreError>;
    take_repeat(fingerprint: Fingerprint, now: UnixTime) -> Result<Option<VideoId>, StoreError>;
    find_job(workspace: WorkspaceId, id: VideoId) -> Result<Found, StoreError>;
    acknowledge_job(workspace: WorkspaceId, id: VideoId) -> Result<Found, StoreError>;
    note_answers(jobs: Vec<VideoId>, answer: Answer) -> Result<(), StoreError>;
    version_of(workspace: WorkspaceId, id: VideoId) -> Result<Option<u64>, StoreError>;
    versions_of(jobs: Vec<VideoId>) -> Result<Vec<(VideoId, u64)>, StoreError>;
    find_generation(workspace: WorkspaceId, id: GenerationId) -> Result<Option<Recorded>, StoreError>;
    list_jobs(query: ListJobs) -> Result<Page<Job>, StoreError>;
    timeline(id: VideoId) -> Result<Vec<TimelineEntry>, StoreError>;
    attempts(id: VideoId) -> Result<Vec<Attempt>, StoreError>;
    latest_successes(each: u32) -> Result<Vec<Success>, StoreError>;
    delete_job(id: VideoId, version: u64, now: UnixTime) -> Result<bool, StoreError>;
    claim_due(intake: &Intake) -> Result<Vec<Claim>, StoreError>;
    next_due(now: UnixTime, places: &Places) -> Result<Option<UnixTime>, StoreError>;
    renew(id: VideoId, fence: u64, until: UnixTime) -> Result<bool, StoreError>;
    park(id: VideoId, fence: u64, reason: &str, until: UnixTime, now: UnixTime) -> Result<bool, StoreError>;
    unpark(id: VideoId, now: UnixTime, action: Action) -> Result<Option<ParkedJob>, StoreError>;
    find_parked(id: VideoId) -> Result<Option<ParkedJob>, StoreError>;
    parked(workspace: Option<WorkspaceId>, after: Option<VideoId>, limit: u32) -> Result<Page<ParkedJob>, StoreError>;
    loads() -> Result<BTreeMap<ProviderName, Load>, StoreError>;
    load_job(id: VideoId) -> Result<Option<Job>, StoreError>;
    balances(workspace: WorkspaceId) -> Result<Balances, StoreError>;
    post_credit(workspace: WorkspaceId, amount: Delta, reason: &str, deed: Deed) -> Result<Once<StoredPosting>, StoreError>;
    find_posting(number: u64) -> Result<Option<StoredPosting>, StoreError>;
    postings(workspace: WorkspaceId, before: Option<u64>, limit: u32) -> Result<Page<StoredPosting>, StoreError>;
    usage(filter: UsageFilter, by: Vec<Dimension>, limit: u32) -> Result<Page<UsageRow>, StoreError>;
    activity(filter: UsageFilter, after: Option<VideoId>, limit: u32) -> Result<Page<ActivityRow>, StoreError>;
    has_activity(workspace: WorkspaceId, job: VideoId) -> Result<bool, StoreError>;
    audit() -> Result<Audit, StoreError>;
    closings(hold: HoldId) -> Result<u64, StoreError>;
    insert_workspace(workspace: Workspace, deed: Deed) -> Result<Once<Inserted>, StoreError>;
    workspaces() -> Result<Vec<Workspace>, StoreError>;
    find_workspace(id: WorkspaceId) -> Result<Option<Workspace>, StoreError>;
    insert_key(key: StoredKey, deed: Deed) -> Result<Once<Inserted>, StoreError>;
    find_key(kid: &str) -> Result<Option<StoredKey>, StoreError>;
    load_key(id: KeyId) -> Result<Option<Key>, StoreError>;
    keys(workspace: Option<WorkspaceId>) -> Result<Vec<Key>, StoreError>;
    key_standing(id: KeyId) -> Result<KeyStanding, StoreError>;
    change_key(id: KeyId, change: KeyChange, now: UnixTime, deed: Deed) -> Result<Option<Result<Key, ResetWithoutLimit>>, StoreError>;
    rotate_key(id: KeyId, secret_sha256: [u8; 32], previous_until: UnixTime, deed: Deed) -> Result<Once<Option<Key>>, StoreError>;
    revoke_key(id: KeyId, now: UnixTime, deed: Deed) -> Result<Option<Key>, StoreError>;
    insert_provider_key(key: StoredProviderKey, deed: Deed) -> Result<Once<Inserted>, StoreError>;
    load_provider_key(id: ProviderKeyId) -> Result<Option<StoredProviderKey>, StoreError>;
    provider_keys(workspace: WorkspaceId) -> Result<Vec<ProviderKey>, StoreError>;
    rotate_provider_key(id: ProviderKeyId, sealed: Vec<u8>, hint: String, now: UnixTime, deed: Deed) -> Result<Once<Option<ProviderKey>>, StoreError>;
    delete_provider_key(id: ProviderKeyId, now: UnixTime, deed: Deed) -> Result<Option<ProviderKey>, StoreError>;
    actions(workspace: Option<WorkspaceId>, after: Option<ActionId>, limit: u32) -> Result<Page<Action>, StoreError>;
    find_binding(workspace: WorkspaceId, route: &str, key: &str, now: UnixTime) -> Result<Option<Bound>, StoreError>;
    keep_sealed(name: &str, sealed: &[u8], now: UnixTime) -> Result<Vec<u8>, StoreError>;
    known_objects(keys: Vec<String>) -> Result<Vec<String>, StoreError>;
    begin_chore(name: &str, now: UnixTime, every: Duration) -> Result<bool, StoreError>;
    prune(what: Prune) -> Result<Pruned, StoreError>;
    close() -> ();
}
