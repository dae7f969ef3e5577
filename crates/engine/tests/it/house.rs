//! A house for one test: store, assets, a scripted provider, a clock.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use filmgate_assets::Assets;
use filmgate_catalogue::{Catalogue, Declared};
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::id::VideoId;
use filmgate_core::job::Job;
use filmgate_core::provider::{
    CancelOutcome, Credential, Delivery, NativeId, Observation, Order, Protocol, Provider,
    Recovered, Secret, Source, SubmitRepeat, Submitted, Talk, Token, Usage, ask,
};
use filmgate_core::repeat::RetryCount;
use filmgate_core::request::{ModelId, ProviderName, Request};
use filmgate_core::time::UnixTime;
use filmgate_engine::clock::{Clock, FakeClock};
use filmgate_engine::keys::Bootstrap;
use filmgate_engine::seal::MasterKey;
use filmgate_engine::upstream::AnswerBody;
use filmgate_engine::{
    Account, AdmitError, Admitted, Ask, BillingConfig, CallbackKey, Caller, Engine, EngineConfig,
    Line, Provenance, Wiring,
};
use filmgate_store::{Audit, Found, Store};
use filmgate_testcard::{JobOrder, Simulation, render};
use http_body_util::{BodyExt, Full};

use crate::lossy::Lossy;

const CATALOGUE: &str = r#"
[[models]]
id = "demo/one"
name = "Demo"
status = "active"

[[models.providers]]
provider = "scripted"
native_model_id = "one"
duration = { min = 1, max = 20, default = 4 }
resolutions = ["180p"]
aspect_ratios = ["16:9"]
sizes = { 180p = { "16:9" = "320x180" } }
audio = "never"
max_samples = 4
prices = [{ meter = "output_second", usd = "0.01", source = "a test", as_of = "2026-11-23", confidence = "ours" }]

[[models]]
id = "demo/unpriced"
name = "Demo without a price"
status = "active"

[[models.providers]]
provider = "scripted"
native_model_id = "two"
duration = { min = 1, max = 20, default = 4 }
resolutions = ["180p"]
aspect_ratios = ["16:9"]
sizes = { 180p = { "16:9" = "320x180" } }
audio = "never"
max_samples = 4

[[models]]
id = "demo/two"
name = "Demo at two providers"
status = "active"

[[models.providers]]
provider = "scripted"
native_model_id = "one"
duration = { min = 1, max = 20, default = 4 }
resolutions = ["180p"]
aspect_ratios = ["16:9"]
sizes = { 180p = { "16:9" = "320x180" } }
audio = "never"
max_samples = 4
prices = [{ meter = "output_second", usd = "0.01", source = "a test", as_of = "2026-11-23", confidence = "ours" }]

[[models.providers]]
provider = "other"
native_model_id = "uno"
duration = { min = 1, max = 20, default = 4 }
resolutions = ["180p"]
aspect_ratios = ["16:9"]
sizes = { 180p = { "16:9" = "320x180" } }
audio = "never"
seed = { min = 0, max = 99 }
max_samples = 4
prices = [{ meter = "output_second", usd = "0.02", source = "a test", as_of = "2026-11-23", confidence = "ours" }]
"#;

pub(crate) const START: UnixTime = UnixTime::from_seconds(1_795_420_800);

/// What the scripted provider does, in the order it is asked; the last of each goes on for ever.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) repeat: SubmitRepeat,
    pub(crate) submits: VecDeque<Result<(), Failure>>,
    pub(crate) recovers: VecDeque<Recovered>,
    pub(crate) polls: VecDeque<Observation>,
    pub(crate) cancels: VecDeque<CancelOutcome>,
    /// So many cancels fail before one is heard.
    pub(crate) deaf_to_cancels: u32,
    pub(crate) files: VecDeque<(u16, Option<u64>, Bytes)>,
    /// What it says when it is asked, for outcomes that point into it.
    pub(crate) answer: Bytes,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            repeat: SubmitRepeat::Lookup,
            submits: [Ok(())].into(),
            recovers: [Recovered::Unknown].into(),
            polls: [succeeded(Usage::default())].into(),
            cancels: [CancelOutcome::Unsupported].into(),
            deaf_to_cancels: 0,
            files: [(200, None, film())].into(),
            answer: Bytes::new(),
        }
    }
}

pub(crate) fn succeeded(usage: Usage) -> Observation {
    let outputs = vec![Source::Url {
        url: "http://files.internal/0".into(),
        send_credential: false,
    }];
    Observation::Succeeded(Delivery {
        outputs,
        missing: Vec::new(),
        usage,
    })
}

/// A real video of one second.
pub(crate) fn film() -> Bytes {
    static FILM: OnceLock<Bytes> = OnceLock::new();
    FILM.get_or_init(|| {
        let order = JobOrder {
            prompt: "a boat".into(),
            negative_prompt: None,
            size: filmgate_core::frame_size::FrameSize::new(320, 180),
            seconds: 1,
            audio: false,
            seed: None,
            sample_count: 1,
            first_frame_sha256: None,
            simulation: Simulation::default(),
        };
        render::render(&order.output(0, None), &render::Progress::default())
            .unwrap()
            .into()
    })
    .clone()
}

/// What the operator has set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setup {
    pub(crate) billing: BillingConfig,
    pub(crate) concurrency: Option<u32>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) retention: Option<Duration>,
}

struct Scripted {
    name: ProviderName,
    repeat: SubmitRepeat,
    script: Arc<Mutex<Script>>,
    attempt_keys: Arc<Mutex<Vec<String>>>,
}

fn next<T: Clone>(queue: &mut VecDeque<T>) -> T {
    if queue.len() > 1 {
        queue.pop_front().unwrap()
    } else {
        queue[0].clone()
    }
}

/// A conversation that has one message and then whatever the script says.
fn talk<T: Send + 'static>(outcome: Result<T, Failure>) -> Talk<T> {
    let message = http::Request::get("http://files.internal/ask")
        .body(filmgate_core::provider::Body::empty())
        .unwrap();
    ask(message, filmgate_core::provider::Repeat::Safe, |_| outcome)
}

impl Provider for Scripted {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn protocol(&self) -> Protocol {
        Protocol {
            submit_repeat: self.repeat,
            can_cancel: true,
            calls_back: false,
        }
    }

    fn submit(&self, order: &Order, _token: &Token) -> Talk<Submitted> {
        self.attempt_keys
            .lock()
            .unwrap()
            .push(order.attempt_key.clone());
        let native = NativeId(format!("n-{}", order.attempt_key));
        talk(next(&mut self.script.lock().unwrap().submits).map(|()| Submitted { native }))
    }

    fn recover(&self, order: &Order, _token: &Token) -> Talk<Recovered> {
        let _ = order;
        talk(Ok(next(&mut self.script.lock().unwrap().recovers)))
    }

    fn poll(&self, _order: &Order, _native: &NativeId, _token: &Token) -> Talk<Observation> {
        talk(Ok(next(&mut self.script.lock().unwrap().polls)))
    }

    fn cancel(&self, _order: &Order, _native: &NativeId, _token: &Token) -> Talk<CancelOutcome> {
        let mut script = self.script.lock().unwrap();
        if let Some(left) = script.deaf_to_cancels.checked_sub(1) {
            script.deaf_to_cancels = left;
            return talk(Err(Failure::passing(
                FailureCode::ProviderTimeout,
                "no answer",
            )));
        }
        talk(Ok(next(&mut script.cancels)))
    }
}

pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn Store>,
    /// The same, to make it lose answers.
    pub(crate) lossy: Arc<Lossy>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) caller: Caller,
    pub(crate) attempt_keys: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<Script>>,
    other: Arc<Mutex<Script>>,
    setup: Setup,
    directory: tempfile::TempDir,
}

impl House {
    pub(crate) async fn of(script: Script) -> Self {
        Self::with(script, BillingConfig::default()).await
    }

    pub(crate) async fn with(script: Script, billing: BillingConfig) -> Self {
        let setup = Setup {
            billing,
            ..Setup::default()
        };
        Self::set_up(script, setup).await
    }

    pub(crate) async fn set_up(script: Script, setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::at(START));
        let config = filmgate_store::sqlite::Config::at(directory.path().join("f.db"));
        let store = filmgate_store::sqlite::SqliteStore::open(config).unwrap();
        let lossy = Arc::new(Lossy::before(Arc::new(store)));
        let store: Arc<dyn Store> = Arc::clone(&lossy) as Arc<dyn Store>;
        let script = Arc::new(Mutex::new(script));
        let other = Arc::default();
        let attempt_keys = Arc::default();
        let scripts = [&script, &other];
        let engine = wire(&store, &clock, scripts, &attempt_keys, setup, &directory);
        let caller = first_caller(&engine).await;
        Self {
            engine,
            store,
            lossy,
            clock,
            caller,
            attempt_keys,
            script,
            other,
            setup,
            directory,
        }
    }

    /// A house with a provider of the caller's own, and what it is declared to do beside the demo models.
    pub(crate) async fn over(account: Account, declared: Declared) -> Self {
        let house = Self::of(Script::default()).await;
        let name = account.provider.name().clone();
        let catalogue = Catalogue::read(&[("demo", CATALOGUE)]).unwrap();
        let engine = Engine::new(Wiring {
            store: Arc::clone(&house.store),
            assets: assets(&house.directory),
            catalogue: Arc::new(catalogue.with(&[declared]).unwrap()),
            accounts: BTreeMap::from([(name, account)]),
            outside: None,
            links: None,
            clock: Arc::clone(&house.clock) as Arc<dyn Clock>,
            engine: EngineConfig::default(),
            billing: house.setup.billing,
            retention: house.setup.retention,
            callback_key: CallbackKey::new([7; 32]),
            master: MasterKey::new(&[7; 32]),
        });
        Self { engine, ..house }
    }

    /// Another worker over the same store, as after a crash of the first.
    pub(crate) fn another_worker(&mut self) {
        self.engine = wire(
            &self.store,
            &self.clock,
            [&self.script, &self.other],
            &self.attempt_keys,
            self.setup,
            &self.directory,
        );
    }

    pub(crate) async fn create(&self) -> VideoId {
        self.create_as(|_| {}).await
    }

    pub(crate) async fn create_as(&self, change: impl FnOnce(&mut Request)) -> VideoId {
        let admitted = self.ask(RetryCount::default(), change).await.unwrap();
        admitted.job.admission.id
    }

    /// A create without an idempotency key, sent for the `retry`th time.
    pub(crate) async fn ask(
        &self,
        retry: RetryCount,
        change: impl FnOnce(&mut Request),
    ) -> Result<Admitted, AdmitError> {
        let mut request = Request::new(ModelId("demo/one".into()), "a boat");
        change(&mut request);
        let ask = Ask {
            request,
            inputs: Vec::new(),
            retried_from: None,
        };
        let from = Provenance {
            request_id: "req_x".into(),
            origin: "http://127.0.0.1".into(),
            route: "videos.create",
            idempotency_key: None,
            retry,
        };
        self.engine.create(self.caller, ask, from).await
    }

    pub(crate) async fn job(&self, id: VideoId) -> Job {
        match self.engine.find(self.caller.workspace, id).await.unwrap() {
            Found::Job(job) => *job,
            other => panic!("the job is {other:?}"),
        }
    }

    /// As its client does.
    pub(crate) async fn cancel(&self, id: VideoId) -> Job {
        let cancelled = self
            .engine
            .cancel(self.caller.workspace, id, self.caller.key);
        cancelled.await.unwrap()
    }

    /// What the provider does from now on.
    pub(crate) fn script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    /// What the other provider does from now on.
    pub(crate) fn other_script(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.other.lock().unwrap());
    }

    /// Runs statements behind the store's back.
    pub(crate) fn tamper(&self, statement: &str) {
        let file = rusqlite::Connection::open(self.directory.path().join("f.db")).unwrap();
        file.execute_batch(statement).unwrap();
    }

    /// How many jobs somebody has a lease on.
    pub(crate) fn leases(&self) -> u32 {
        let file = rusqlite::Connection::open(self.directory.path().join("f.db")).unwrap();
        let count = "SELECT count(*) FROM jobs WHERE lease_until IS NOT NULL";
        file.query_row(count, [], |row| row.get(0)).unwrap()
    }

    /// Works on what is due until nothing is, without moving the clock.
    pub(crate) async fn settle(&self) {
        while self.engine.run_due().await.unwrap() > 0 {}
    }

    pub(crate) async fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.settle().await;
    }

    /// The money of the workspace, in nano-dollars.
    pub(crate) async fn available(&self) -> i64 {
        let balances = self.store.balances(self.caller.workspace).await.unwrap();
        assert_eq!(balances.held.0, 0, "money is still held");
        balances.available.0
    }

    /// Every job has ended and the books are in order.
    pub(crate) async fn audit(&self) -> Audit {
        let audit = self.store.audit().await.unwrap();
        assert_eq!(
            (
                audit.jobs_not_terminal,
                audit.holds_open,
                audit.holds_closed_twice
            ),
            (0, 0, 0)
        );
        assert_eq!(
            (audit.postings_unbalanced, audit.balances_wrong, audit.sum),
            (0, 0, 0)
        );
        assert_eq!((audit.standings_wrong, audit.activity_wrong), (0, 0));
        audit
    }

    /// How many files the asset store has.
    pub(crate) fn stored_files(&self) -> usize {
        fn below(path: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().path());
            entries
                .map(|path| if path.is_dir() { below(&path) } else { 1 })
                .sum()
        }
        below(&self.directory.path().join("assets"))
    }

    /// How often the outside is to be told so of a job.
    pub(crate) fn notices(&self, id: VideoId, kind: &str) -> i64 {
        let file = rusqlite::Connection::open(self.directory.path().join("f.db")).unwrap();
        let question = "SELECT count(*) FROM outbox WHERE job = ?1 AND kind = ?2";
        file.query_row(question, [&id.to_string(), kind], |row| row.get(0))
            .unwrap()
    }
}

fn wire(
    store: &Arc<dyn Store>,
    clock: &Arc<FakeClock>,
    [script, other]: [&Arc<Mutex<Script>>; 2],
    attempt_keys: &Arc<Mutex<Vec<String>>>,
    setup: Setup,
    directory: &tempfile::TempDir,
) -> Engine {
    let accounts = [("scripted", script), ("other", other)].map(|(name, script)| {
        let name = ProviderName(name.into());
        (name.clone(), account(name, script, attempt_keys, setup))
    });
    Engine::new(Wiring {
        store: Arc::clone(store),
        assets: assets(directory),
        catalogue: Arc::new(Catalogue::read(&[("demo", CATALOGUE)]).unwrap()),
        accounts: BTreeMap::from(accounts),
        outside: None,
        links: None,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        engine: EngineConfig::default(),
        billing: setup.billing,
        retention: setup.retention,
        callback_key: CallbackKey::new([7; 32]),
        master: MasterKey::new(&[7; 32]),
    })
}

fn account(
    name: ProviderName,
    script: &Arc<Mutex<Script>>,
    attempt_keys: &Arc<Mutex<Vec<String>>>,
    setup: Setup,
) -> Account {
    let repeat = script.lock().unwrap().repeat;
    let provider = Scripted {
        name,
        repeat,
        script: Arc::clone(script),
        attempt_keys: Arc::clone(attempt_keys),
    };
    let files = Arc::clone(script);
    let service = tower::service_fn(move |request: http::Request<Bytes>| {
        let answer = if request.uri().path() == "/ask" {
            (200, None, files.lock().unwrap().answer.clone())
        } else {
            next(&mut files.lock().unwrap().files)
        };
        async move {
            let (status, announced, bytes) = answer;
            let mut response = http::Response::builder().status(status);
            if let Some(announced) = announced {
                response = response.header("content-length", announced);
            }
            let body: AnswerBody = Full::new(bytes).map_err(|never| match never {}).boxed();
            Ok(response.body(body).unwrap())
        }
    });
    let line = Line::InProcess(tower::util::BoxCloneSyncService::new(service));
    let credential = Credential {
        secret: Secret::new(""),
    };
    let poll_every = Duration::from_secs(1);
    Account {
        concurrency: setup.concurrency.and_then(NonZeroU32::new),
        deadline: setup.deadline,
        ..Account::new(Arc::new(provider), line, credential, poll_every)
    }
}

fn assets(directory: &tempfile::TempDir) -> Assets {
    let assets = Assets::open(filmgate_assets::Config {
        url: format!("file:{}", directory.path().join("assets").display()),
        spool_dir: directory.path().join("spool"),
        ..Default::default()
    });
    assets.unwrap()
}

async fn first_caller(engine: &Engine) -> Caller {
    let Bootstrap::Made(made) = engine.bootstrap(None).await.unwrap() else {
        panic!("the store is new")
    };
    Caller {
        key: made.key.id,
        workspace: made.key.workspace,
    }
}
