//! A self-hosted server that speaks OpenAI's `/v1/videos`: vLLM-Omni, SGLang, LiteLLM's proxy, or the dialect as
//! OpenAI speaks it.
//!
//! Data goes `form` → `order` → `jobs` → `flavour` for a create, and `jobs` → `content` for a file. What a prompt
//! asks to go wrong is read by `fault` and acted on in `routes` and `content`.
//!
//! # Directives
//!
//! Each job carries its own bad day in its prompt, so that it goes through whatever lies in between. A directive is
//! a word `#fault=NAME`; several may stand in one prompt, and one that is not known here is refused with 400.
//!
//! `STATUS` is a status of trouble, 400 to 599. Faults of a call may end with `-retry-after=SECONDS` where they
//! have a `STATUS`, and then with `-once` or `-times=N`; without a count they are met always. Faults of the same
//! call are met one after the other, in the order they stand in: `#fault=poll-ok-times=2 #fault=poll-503-once` is
//! about the third poll. The calls of a create are counted by prompt, all others by job.
//!
//! | create | no job is made |
//! | --- | --- |
//! | `drop-before-accept` | the connection is cut, without an answer |
//! | `submit-STATUS` | refused |
//! | `submit-400-moderation` | refused for what the prompt says |
//! | `answer-200-error` | refused, with 200 |
//!
//! | create | a job is made |
//! | --- | --- |
//! | `drop-after-accept` | the connection is cut, without an answer |
//! | `answer-STATUS` | the answer is an error all the same |
//! | `answer-empty` | 200 and no body |
//! | `answer-truncated-json` | the first half of the answer |
//! | `answer-html` | 200 and a page for people |
//! | `answer-stall` | no answer until it is released |
//! | `slow-submit=SECONDS` | the answer comes so late; goes together with the others |
//! | `submit-ok` | nothing is wrong this time |
//!
//! | poll | |
//! | --- | --- |
//! | `poll-STATUS` | an error; `poll-404` as of a server that does not know the job |
//! | `drop-poll` `empty-poll` `malformed-poll` `html-poll` `poll-200-error` `poll-stall` | as above |
//! | `unknown-status` | a status that no client can know |
//! | `poll-ok` | nothing is wrong this time |
//!
//! | content | of a job that completed |
//! | --- | --- |
//! | `content-STATUS` | an error |
//! | `drop-content` `empty-content` `content-stall` | as above |
//! | `content-stall-halfway` | half the bytes, the rest when it is released |
//! | `not-a-video` | a page for people, with 200 |
//! | `not-a-video-lying` | the same, called `video/mp4` |
//! | `short-file-honest` | half the bytes, and a `Content-Length` that says so |
//! | `short-file-lying` | half the bytes, the `Content-Length` of all, and the connection is cut |
//! | `short-chunked` | half the bytes without a length, and the connection is cut |
//! | `content-ok` | nothing is wrong this time |
//!
//! | delete | |
//! | --- | --- |
//! | `delete-STATUS` | refused; `delete-409-once` as of a server that is still stopping the work |
//! | `drop-delete` `empty-delete` `delete-stall` | as above; it is deleted |
//! | `delete-ok` | nothing is wrong this time |
//!
//! | the job | takes no count |
//! | --- | --- |
//! | `queue=SECONDS` `render=SECONDS` | how long it waits and takes |
//! | `fail` `fail-STATUS` `fail-moderation` | it fails at its end; vLLM-Omni answers polls with that status |
//! | `stuck` | it never ends |
//! | `lost` | the server forgets it at once, as by a restart |
//! | `progress-backwards` | each poll tells less than the one before |
//!
//! # The emulator's own routes
//!
//! | route | |
//! | --- | --- |
//! | `GET /_emulator/counts` | [`Counts`]; with `?prompt=`, [`PromptCounts`] |
//! | `GET /_emulator/jobs` | every [`JobRecord`] in the order of acceptance, forgotten ones too; `?prompt=` |
//! | `POST /_emulator/restart` | the server forgets all jobs |
//! | `GET` `POST` `DELETE /_emulator/faults` | `{"directives": ["poll-503"]}`: faults for everybody, met in place of a job's own; counted over all calls |
//! | `POST /_emulator/release` | whatever is stalled goes on |
//! | `POST /_emulator/clock` | `{"advance_seconds": 60}`: time passes |
//!
//! Not here: rendering (`testcard`, by way of [`films`](crate::films)), the adapter that speaks to such a server
//! (`providers`).

mod content;
mod control;
mod fault;
mod flavour;
mod form;
mod jobs;
mod order;
mod refusal;
mod routes;
mod standing;

pub use flavour::Flavour;
pub use form::{Encoding, Reference};
pub use jobs::{Counts, JobRecord, PromptCounts};

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::serve::ListenerExt;
use filmgate_core::time::UnixTime;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::content::Gate;
use self::fault::Script;
use self::jobs::{Calls, Job, Jobs};
use self::refusal::Refusal;
use self::standing::Standing;
use crate::clock::Clock;
use crate::films::{Films, Supply};

/// How the server is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    pub flavour: Flavour,
    /// Without one, everybody may come.
    pub api_key: Option<String>,
    /// Without any, every name is taken.
    pub models: Vec<String>,
    /// How long a job waits before it is begun.
    pub queue: Duration,
    /// How long it takes then.
    pub render: Duration,
    pub supply: Supply,
    pub storage: Storage,
    /// More than so many jobs at once are refused with 429.
    pub max_running: Option<usize>,
    pub clock: Clock,
}

/// Where finished files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    #[default]
    Local,
    /// Uploaded to a bucket, of which a job tells the address. Known to SGLang alone.
    Cloud,
}

/// An emulated server. Clones are the same server.
#[derive(Debug, Clone)]
pub struct Emulator(Arc<State>);

#[derive(Debug)]
struct State {
    config: Config,
    jobs: Jobs,
    films: Films,
    calls: Calls,
    standing: RwLock<Arc<Standing>>,
    gate: Arc<Gate>,
    changed: watch::Sender<()>,
    stop: CancellationToken,
}

/// An emulated server that listens. It stops when this is dropped.
#[derive(Debug)]
pub struct Running {
    /// What a client is configured with, `/v1` included.
    pub base_url: String,
    /// Where it listens.
    pub origin: String,
    pub emulator: Emulator,
    tasks: TaskTracker,
    stop: DropGuard,
}

/// Faults for everybody that are not understood.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UnknownDirective(#[from] fault::Unknown);

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            flavour: Flavour::default(),
            api_key: None,
            models: Vec::new(),
            queue: Duration::ZERO,
            render: Duration::ZERO,
            supply: Supply::default(),
            storage: Storage::default(),
            max_running: None,
            clock: Clock::system(),
        }
    }
}

impl Emulator {
    /// A server that does not listen yet: for whoever puts its [`router`](Self::router) somewhere.
    pub fn new(config: Config) -> Self {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).expect("the operating system has randomness");
        let stop = CancellationToken::new();
        let changed = watch::Sender::new(());
        Self(Arc::new(State {
            jobs: Jobs::new(nonce, config.max_running),
            films: Films::new(config.supply),
            calls: Calls::default(),
            standing: RwLock::default(),
            gate: Arc::new(Gate::new(changed.clone(), stop.clone())),
            changed,
            stop,
            config,
        }))
    }

    /// A server that listens where its configuration says.
    ///
    /// # Errors
    /// Fails where that cannot be listened on.
    pub async fn start(config: Config) -> io::Result<Running> {
        let listener = TcpListener::bind(config.listen).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let emulator = Self::new(config);
        let router = emulator.router();
        let stop = emulator.0.stop.clone();
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            let listener = listener.tap_io(|socket| {
                // A connection that ended already cannot be asked for anything.
                let _ = socket.set_nodelay(true);
            });
            let served = axum::serve(listener, router)
                .with_graceful_shutdown(stop.cancelled_owned())
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the emulated upstream's listener failed");
            }
        });
        tasks.close();
        Ok(Running {
            base_url: format!("{origin}/v1"),
            origin,
            stop: emulator.0.stop.clone().drop_guard(),
            emulator,
            tasks,
        })
    }

    /// All routes: the dialect's and the emulator's own.
    pub fn router(&self) -> Router {
        routes::router(self.clone())
    }

    /// What was asked of it so far.
    pub fn counts(&self) -> Counts {
        self.0
            .jobs
            .counts(&self.0.calls, self.0.gate.waiting(), self.now())
    }

    /// What was asked of it with this prompt.
    pub fn prompt_counts(&self, prompt: &str) -> PromptCounts {
        self.0.jobs.prompt_counts(prompt)
    }

    /// Every job ever accepted, in that order.
    pub fn all_jobs(&self) -> Vec<JobRecord> {
        self.0.jobs.records(None, self.now())
    }

    /// The jobs made of this prompt.
    pub fn jobs_of(&self, prompt: &str) -> Vec<JobRecord> {
        self.0.jobs.records(Some(prompt), self.now())
    }

    /// Waits until the counts are as wished. Time that passes is no change: whoever waits for a job's end moves
    /// the clock.
    pub async fn until(&self, wished: impl Fn(&Counts) -> bool) -> Counts {
        let mut changed = self.0.changed.subscribe();
        loop {
            let counts = self.counts();
            if wished(&counts) {
                return counts;
            }
            // The sender lives as long as this emulator does.
            let _ = changed.changed().await;
        }
    }

    /// Forgets all jobs, as a server that keeps them in memory does when it restarts.
    pub fn restart(&self) {
        self.0.jobs.forget_all(self.now());
        self.changed();
    }

    /// Faults for everybody, in place of those before: directives without their `#fault=`.
    ///
    /// # Errors
    /// Names the first that is not understood; then nothing changes.
    pub fn set_faults<T: AsRef<str>>(&self, directives: &[T]) -> Result<(), UnknownDirective> {
        let directives: Vec<_> = directives
            .iter()
            .map(|directive| directive.as_ref().to_owned())
            .collect();
        let script = Script::of(directives.iter().map(String::as_str))?;
        self.replace_standing(Standing::new(directives, script));
        Ok(())
    }

    pub fn clear_faults(&self) {
        self.replace_standing(Standing::default());
    }

    /// The faults for everybody.
    pub fn faults(&self) -> Vec<String> {
        self.standing().directives.clone()
    }

    /// Lets go on whatever is stalled now.
    pub fn release(&self) {
        self.0.gate.release();
    }

    pub fn clock(&self) -> &Clock {
        &self.0.config.clock
    }

    fn replace_standing(&self, standing: Standing) {
        let mut current = self
            .0
            .standing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(standing);
    }

    fn standing(&self) -> Arc<Standing> {
        let current = self
            .0
            .standing
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    fn config(&self) -> &Config {
        &self.0.config
    }

    fn flavour(&self) -> Flavour {
        self.0.config.flavour
    }

    fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    fn films(&self) -> &Films {
        &self.0.films
    }

    fn calls(&self) -> &Calls {
        &self.0.calls
    }

    fn gate(&self) -> &Arc<Gate> {
        &self.0.gate
    }

    fn watched(&self) -> &watch::Sender<()> {
        &self.0.changed
    }

    fn stopping(&self) -> &CancellationToken {
        &self.0.stop
    }

    fn now(&self) -> UnixTime {
        self.0.config.clock.now()
    }

    fn load(&self, id: &str) -> Result<Arc<Job>, Refusal> {
        self.0.jobs.find(id).ok_or_else(|| routes::not_found(id))
    }

    fn count(&self, of: impl Fn(&Calls) -> &AtomicU64) {
        jobs::count(of(&self.0.calls));
        self.changed();
    }

    /// Wakes whoever waits for the counts.
    fn changed(&self) {
        self.0.changed.send_replace(());
    }

    fn answered(&self, answer: Result<Response, Refusal>) -> Response {
        answer.unwrap_or_else(|refusal| refusal.answer(self.flavour()))
    }
}

impl Running {
    /// Stops listening and waits until the calls under way have been answered. What is stalled goes on.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.wait().await;
    }
}
