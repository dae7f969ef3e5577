//! Workspaces, videos and what happens to them, with every choice the test does not make already made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use filmgate_core::action::{Action, ActionKind};
use filmgate_core::asset::{Asset, Thumbnail};
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::id::{
    ActionId, AssetId, Entropy, GenerationId, HoldId, KeyId, ProviderKeyId, VideoId, WorkspaceId,
};
use filmgate_core::job::{
    Abandoned, Admission, AmbiguousSubmit, Candidate, Event, Expectation, HoldTerms, Job, Mode,
    Terms, admit, apply,
};
use filmgate_core::key::{Key, KeyTerms, Role, Workspace};
use filmgate_core::money::{BasisPoints, Delta, Nanos};
use filmgate_core::pricing::PriceRules;
use filmgate_core::provider::{Delivery, NativeId, SubmitRepeat, Usage};
use filmgate_core::repeat::RetryCount;
use filmgate_core::request::{Input, InputRole, MediaKind, ModelId, ProviderName, Request, Shape};
use filmgate_core::time::UnixTime;
use filmgate_store::{
    AfterCommit, Audit, Basis, Binding, Claim, Committed, Created, Deed, Fingerprint, Found, Funds,
    Inserted, Intake, NewJob, Once, Places, Store, StoredKey, StoredPosting, WorkerId,
};

pub(crate) const START: UnixTime = UnixTime::from_seconds(1_795_420_800);
pub(crate) const LEASE: Duration = Duration::from_secs(60);
/// What a video holds unless the test says otherwise: a dime.
pub(crate) const HOLD: i64 = 100_000_000;

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn nanos(value: i64) -> Nanos {
    Nanos::new(value).unwrap()
}

/// Different every time, and growing within a process, so that ids of one instant sort as they were made.
pub(crate) fn entropy() -> Entropy {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    entropy
}

pub(crate) fn worker(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

/// What a worker takes on where no account is limited.
pub(crate) fn intake(by: &str, now: UnixTime, limit: u32) -> Intake {
    Intake {
        by: worker(by),
        now,
        lease: LEASE,
        submit_lease: LEASE,
        limit,
        places: Places::default(),
    }
}

pub(crate) async fn workspace(store: &dyn Store) -> WorkspaceId {
    let id = WorkspaceId::mint(START, entropy());
    let workspace = Workspace {
        id,
        name: format!("of {id}"),
        created_at: START,
    };
    store.insert_workspace(workspace, deed(id)).await.unwrap();
    id
}

/// An operator's change of something in `workspace`, by nobody in particular.
pub(crate) fn deed(workspace: WorkspaceId) -> Deed {
    Deed {
        action: Action {
            id: ActionId::mint(START, entropy()),
            at: START,
            by: None,
            request_id: Some("req".into()),
            kind: ActionKind::CreditsPosted,
            workspace,
            object: workspace.to_string(),
            detail: serde_json::json!({}),
        },
        binding: None,
    }
}

/// Puts `amount` into the workspace's funds, or takes it out.
pub(crate) async fn fund(store: &dyn Store, workspace: WorkspaceId, amount: i64) -> StoredPosting {
    let posted = store
        .post_credit(workspace, Delta(amount), "a test", deed(workspace))
        .await;
    match posted.unwrap() {
        Once::Done(posting) => posting,
        Once::AlreadyBound(bound) => panic!("bound to {bound:?}"),
    }
}

/// A key of `workspace`, not yet stored: its kid is its own id's.
pub(crate) fn key(workspace: WorkspaceId, terms: KeyTerms) -> StoredKey {
    let id = KeyId::mint(START, entropy());
    StoredKey {
        key: Key {
            id,
            kid: id.suffix(),
            workspace,
            terms,
            created_at: START,
            revoked_at: None,
            previous_until: None,
        },
        secret_sha256: [7; 32],
        previous_sha256: None,
    }
}

/// Terms that limit nothing.
pub(crate) fn unlimited() -> KeyTerms {
    KeyTerms::new("a key", Role::Member)
}

/// Stores a key of these terms.
pub(crate) async fn keep_key(
    store: &dyn Store,
    workspace: WorkspaceId,
    terms: KeyTerms,
) -> StoredKey {
    let key = key(workspace, terms);
    let inserted = store.insert_key(key.clone(), deed(workspace)).await;
    assert_eq!(inserted.unwrap(), Once::Done(Inserted::New));
    key
}

/// A video about to be created.
#[derive(Clone)]
pub(crate) struct Video {
    request: Request,
    workspace: WorkspaceId,
    at: UnixTime,
    providers: Vec<&'static str>,
    native_model: &'static str,
    hold: Option<i64>,
    funds: Funds,
    binding: Option<Binding>,
    key: KeyId,
    fingerprint: Option<Fingerprint>,
    markup: BasisPoints,
    abandoned: Abandoned,
    retention: Option<Duration>,
    credential: Option<ProviderKeyId>,
}

impl Video {
    pub(crate) fn of(workspace: WorkspaceId) -> Self {
        Self {
            request: Request::new(ModelId("maker/model".into()), "a fox in the snow"),
            workspace,
            at: START,
            providers: vec!["one", "two"],
            native_model: "native",
            hold: Some(HOLD),
            funds: Funds::NotNeeded,
            binding: None,
            key: KeyId::mint(START, entropy()),
            fingerprint: None,
            markup: BasisPoints(0),
            abandoned: Abandoned::User,
            retention: None,
            credential: None,
        }
    }

    /// What it stores is removed so long after its end.
    pub(crate) fn kept_for(self, retention: Duration) -> Self {
        Self {
            retention: Some(retention),
            ..self
        }
    }

    /// Paid for by the workspace itself.
    pub(crate) fn on_own_credential(self, credential: ProviderKeyId) -> Self {
        Self {
            credential: Some(credential),
            hold: None,
            ..self
        }
    }

    pub(crate) fn key(self, key: KeyId) -> Self {
        Self { key, ..self }
    }

    pub(crate) fn holding(self, amount: i64) -> Self {
        Self {
            hold: Some(amount),
            ..self
        }
    }

    /// Charged at so many hundredths of a per cent above what the provider takes.
    pub(crate) fn marked_up(self, points: u32) -> Self {
        Self {
            markup: BasisPoints(points),
            ..self
        }
    }

    /// What a provider bills for it in vain is the operator's loss.
    pub(crate) fn at_the_operators_risk(self) -> Self {
        Self {
            abandoned: Abandoned::Operator,
            ..self
        }
    }

    /// Sent without an idempotency key, for the `retry`th time.
    pub(crate) fn sent_again(self, fingerprint: u8, retry: u32) -> Self {
        Self {
            fingerprint: Some(Fingerprint {
                digest: [fingerprint; 32],
                retry: RetryCount(retry),
            }),
            ..self
        }
    }

    pub(crate) fn at(self, at: UnixTime) -> Self {
        Self { at, ..self }
    }

    pub(crate) fn by(self, providers: &[&'static str]) -> Self {
        Self {
            providers: providers.to_vec(),
            ..self
        }
    }

    /// Every provider's name for the model.
    pub(crate) fn native_model(self, native_model: &'static str) -> Self {
        Self {
            native_model,
            ..self
        }
    }

    pub(crate) fn prompt(mut self, prompt: &str) -> Self {
        self.request.prompt = prompt.to_owned();
        self
    }

    pub(crate) fn model(mut self, model: &str) -> Self {
        self.request.model = ModelId(model.to_owned());
        self
    }

    pub(crate) fn session(mut self, session: Option<&str>) -> Self {
        self.request.session_id = session.map(str::to_owned);
        self
    }

    pub(crate) fn metadata(mut self, key: &str, value: &str) -> Self {
        self.request.metadata = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        self
    }

    pub(crate) fn input(mut self, key: &str) -> Self {
        self.request.inputs.push(Input {
            kind: MediaKind::Image,
            role: InputRole::FirstFrame,
            reference_type: None,
            key: key.to_owned(),
            mime_type: "image/png".into(),
            bytes: 1,
            sha256: "00".into(),
            url: None,
            duration_ms: None,
        });
        self
    }

    pub(crate) fn needing_funds(self) -> Self {
        Self {
            funds: Funds::Needed,
            ..self
        }
    }

    pub(crate) fn bound(self, key: &str, digest: u8, expires_at: UnixTime) -> Self {
        let binding = Binding {
            workspace: self.workspace,
            route: "videos.create".into(),
            key: key.into(),
            digest: [digest; 32],
            expires_at,
        };
        Self {
            binding: Some(binding),
            ..self
        }
    }

    pub(crate) fn build(self) -> NewJob {
        let hold = self.hold.map(|amount| HoldTerms {
            id: HoldId::mint(self.at, entropy()),
            amount: nanos(amount),
        });
        let admission = Admission {
            id: VideoId::mint(self.at, entropy()),
            workspace: self.workspace,
            key: self.key,
            request_id: "req".into(),
            generation_id: GenerationId::mint(self.at, entropy()),
            created_at: self.at,
            origin: "http://127.0.0.1".into(),
            request: Arc::new(self.request),
            route: self
                .providers
                .iter()
                .map(|name| candidate(name, self.native_model, self.credential))
                .collect(),
            dropped: Vec::new(),
            terms: Terms {
                mode: Mode::Metered,
                markup: self.markup,
                byok_fee: BasisPoints(0),
                abandoned: self.abandoned,
                ambiguous_submit: AmbiguousSubmit::Fail,
                retention_seconds: self.retention.map(|kept| kept.as_secs()),
            },
            hold,
            quoted: None,
            retried_from: None,
        };
        let opening = admit(&admission);
        NewJob {
            job: Job {
                admission: Arc::new(admission),
                life: opening.life.clone(),
                version: 1,
                fence: 0,
            },
            opening,
            funds: self.funds,
            binding: self.binding,
            fingerprint: self.fingerprint,
        }
    }

    /// Stores it, which must succeed.
    pub(crate) async fn create(self, store: &dyn Store) -> Job {
        let new = self.build();
        let job = new.job.clone();
        assert_eq!(store.create_job(new).await.unwrap(), Created::New);
        job
    }
}

fn candidate(name: &str, native_model: &str, credential: Option<ProviderKeyId>) -> Candidate {
    Candidate {
        provider: ProviderName(name.to_owned()),
        native_model: native_model.to_owned(),
        shape: Shape {
            seconds: Some(4),
            size: Some(FrameSize::new(1280, 720)),
            audio: Some(false),
            ..Shape::default()
        },
        price: Some(PriceRules::by_output_second(nanos(10_000_000))),
        quote: Some(nanos(40_000_000)),
        submit_repeat: SubmitRepeat::Lookup,
        left_out: Vec::new(),
        credential,
    }
}

pub(crate) fn asset(index: u32, key: &str) -> Asset {
    Asset {
        id: AssetId::mint(START, entropy()),
        index,
        key: key.to_owned(),
        mime_type: "video/mp4".into(),
        bytes: 1,
        sha256: "00".into(),
        size: FrameSize::new(1280, 720),
        duration_ms: 4_000,
        audio: false,
        thumbnail: Some(Thumbnail {
            key: format!("{key}.thumbnail"),
            mime_type: "image/jpeg".into(),
            bytes: 1,
            sha256: "00".into(),
        }),
    }
}

pub(crate) fn submitted(attempt: u32) -> Event {
    Event::Submitted {
        attempt,
        native: NativeId(format!("native-{attempt}")),
        expectation: Expectation::default(),
    }
}

pub(crate) fn succeeded() -> Event {
    delivered(Usage::default())
}

/// With the provider's own word for what it cost.
pub(crate) fn succeeded_for(cost: i64) -> Event {
    delivered(costing(cost))
}

fn delivered(usage: Usage) -> Event {
    let delivery = Delivery {
        outputs: Vec::new(),
        missing: Vec::new(),
        usage,
    };
    Event::Succeeded { delivery }
}

/// What a provider reports that names its cost and nothing else.
pub(crate) fn costing(cost: i64) -> Usage {
    Usage {
        cost: Some(nanos(cost)),
        ..Usage::default()
    }
}

/// A failure nothing cures.
pub(crate) fn failed(billed: Billed, usage: Usage) -> Event {
    let failure = Failure::permanent(FailureCode::ProviderError, "it broke");
    Event::FailedUpstream {
        failure: failure.billed(billed),
        usage,
    }
}

pub(crate) fn stored(key: &str) -> Event {
    Event::Stored {
        assets: vec![asset(0, key)],
        missing: Vec::new(),
    }
}

/// The answer of a provider that has no room just now.
pub(crate) fn refused(attempt: u32) -> Event {
    Event::Refused {
        attempt,
        failure: Failure::passing(FailureCode::RateLimited, "no room"),
        jitter: Duration::ZERO,
    }
}

pub(crate) fn cancel() -> Event {
    Event::Cancel {
        by: KeyId::mint(START, entropy()),
    }
}

/// Claims the one job that is due.
pub(crate) async fn claim(store: &dyn Store, by: &str, now: UnixTime) -> Claim {
    let mut claims = store.claim_due(&intake(by, now, 10)).await.unwrap();
    assert_eq!(claims.len(), 1, "one job was to be claimed");
    claims.remove(0)
}

/// Applies `event` and commits it by `job`'s own fence, once.
pub(crate) async fn commit(
    store: &dyn Store,
    job: &mut Job,
    event: Event,
    now: UnixTime,
    after: AfterCommit,
) -> Committed {
    let transition = apply(job, event, now).unwrap();
    let life = transition.life.clone();
    let basis = Basis::Claim {
        fence: job.fence,
        version: job.version,
        after,
    };
    let committed = store
        .commit(job.admission.id, basis, transition)
        .await
        .unwrap();
    if let Committed::Committed { version } = committed {
        job.life = life;
        job.version = version;
    }
    committed
}

/// Commits `events` one after the other and keeps the lease.
pub(crate) async fn work(store: &dyn Store, job: &mut Job, events: Vec<Event>, now: UnixTime) {
    for event in events {
        let committed = commit(store, job, event, now, AfterCommit::KeepLease).await;
        assert!(matches!(committed, Committed::Committed { .. }));
    }
}

/// As a client's call does.
pub(crate) async fn change(
    store: &dyn Store,
    job: &mut Job,
    event: Event,
    now: UnixTime,
) -> Committed {
    let transition = apply(job, event, now).unwrap();
    let life = transition.life.clone();
    let basis = Basis::Seen {
        version: job.version,
    };
    let committed = store
        .commit(job.admission.id, basis, transition)
        .await
        .unwrap();
    if let Committed::Committed { version } = committed {
        job.life = life;
        job.version = version;
    }
    committed
}

/// Commits `events` one after the other as [`change`] does, whoever has the lease.
pub(crate) async fn live(store: &dyn Store, job: &mut Job, events: Vec<Event>, now: UnixTime) {
    for event in events {
        let committed = change(store, job, event, now).await;
        assert!(matches!(committed, Committed::Committed { .. }));
    }
}

/// From the first submit to stored outputs.
pub(crate) fn a_life_costing(cost: i64) -> Vec<Event> {
    vec![
        Event::Claimed,
        submitted(1),
        succeeded_for(cost),
        stored("out"),
    ]
}

/// The job as the store has it, which must be there.
pub(crate) async fn find(store: &dyn Store, job: &Job) -> Job {
    let found = store
        .find_job(job.admission.workspace, job.admission.id)
        .await
        .unwrap();
    match found {
        Found::Job(job) => *job,
        other => panic!("the job was not found: {other:?}"),
    }
}

/// Creates a video and brings it to its end, its output under `key`.
pub(crate) async fn completed(store: &dyn Store, video: Video, key: &str) -> Job {
    let now = video.at;
    let mut job = video.create(store).await;
    let claims = store.claim_due(&intake("builder", now, 100)).await.unwrap();
    let claimed = claims
        .into_iter()
        .find(|claim| claim.job.admission.id == job.admission.id)
        .expect("a new video is due");
    job.fence = claimed.job.fence;
    let events = vec![Event::Claimed, submitted(1), succeeded(), stored(key)];
    work(store, &mut job, events, now).await;
    store.give_back(job.admission.id, job.fence).await.unwrap();
    job
}

/// Nothing is wrong with the books.
pub(crate) fn assert_clean(audit: &Audit) {
    let wrong = audit.holds_closed_twice
        + audit.postings_unbalanced
        + audit.balances_wrong
        + audit.standings_wrong
        + audit.activity_wrong;
    assert_eq!((wrong, audit.sum), (0, 0), "{audit:?}");
}
