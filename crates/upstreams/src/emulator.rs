//! What every emulated vendor is made of: jobs, clips, faults, a clock, and a door.
//!
//! A [`Vendor`] is what makes one differ from another: its routes and its words.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use filmgate_core::time::UnixTime;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::content::{self, Gate, Meter, PAGE_FOR_PEOPLE};
use crate::fault::{self, ContentFault, Ending, Script, Spoilt, Status, SubmitFault};
use crate::films::{Film, Films, RenderFault, Supply};
use crate::jobs::{self, Calls, Counts, Job, JobRecord, Jobs, Order as _, Plan, PromptCounts};
use crate::standing::Standing;

/// What makes one emulated vendor differ from another.
pub trait Vendor: std::fmt::Debug + Send + Sync + Sized + 'static {
    /// A create, understood.
    type Order: jobs::Order;

    /// Everything it answers, but for the emulator's own routes.
    fn routes(emulator: &Emulator<Self>) -> Router<Emulator<Self>>;

    /// Trouble that was asked for, in the vendor's words.
    fn trouble(&self, status: &Status) -> Response;

    /// An error's envelope, to be sent under a success.
    fn envelope(&self) -> Value;

    /// Where it was asked to call when the job of this id has moved, and what it says there; `None` where it does no such thing.
    fn callback(_emulator: &Emulator<Self>, _id: &str) -> Option<(String, Value)> {
        None
    }
}

/// Where it listens and how jobs go, whatever the vendor.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long a job waits before it is begun.
    pub queue: Duration,
    /// How long it takes then.
    pub render: Duration,
    pub supply: Supply,
    /// More than so many jobs at once are refused with 429.
    pub max_running: Option<usize>,
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            queue: Duration::ZERO,
            render: Duration::ZERO,
            supply: Supply::default(),
            max_running: None,
            clock: Clock::system(),
        }
    }
}

/// An emulated vendor. Clones are the same one.
#[derive(Debug)]
pub struct Emulator<V: Vendor>(Arc<State<V>>);

#[derive(Debug)]
struct State<V: Vendor> {
    vendor: V,
    settings: Settings,
    jobs: Jobs<V::Order>,
    films: Films,
    calls: Calls,
    standing: RwLock<Arc<Standing>>,
    gate: Arc<Gate>,
    changed: watch::Sender<()>,
    stop: CancellationToken,
}

/// An emulated vendor that listens. It stops when this is dropped.
#[derive(Debug)]
pub struct Running<V: Vendor> {
    /// What a client is configured with.
    pub base_url: String,
    /// Where it listens.
    pub origin: String,
    pub emulator: Emulator<V>,
    tasks: TaskTracker,
    stop: DropGuard,
}

/// Faults for everybody that are not understood.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UnknownDirective(#[from] fault::Unknown);

/// What became of a create.
pub(crate) enum Created<O> {
    /// A job, and what is to become of the answer that tells of it.
    Job(Arc<Job<O>>, Option<Spoilt>),
    /// No job: a fault had this answer.
    Answer(Response),
}

/// What of a job's files is asked for.
pub(crate) struct Wanted<'a> {
    pub(crate) output: u32,
    /// The part of it.
    pub(crate) range: Option<&'a HeaderValue>,
    /// Where it was asked for.
    pub(crate) address: &'a Uri,
}

/// Why there is no job.
#[derive(Debug)]
pub(crate) enum Uncreated {
    /// What was asked for cannot be had.
    Unfit(String),
    /// As many jobs are running as are taken at once.
    Full(usize),
}

impl<V: Vendor> Clone for Emulator<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V: Vendor> Emulator<V> {
    /// One that does not listen yet.
    pub(crate) fn of(vendor: V, settings: Settings) -> Self {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce).expect("the operating system has randomness");
        let stop = CancellationToken::new();
        let changed = watch::Sender::new(());
        Self(Arc::new(State {
            vendor,
            jobs: Jobs::new(nonce, settings.max_running),
            films: Films::new(settings.supply),
            calls: Calls::default(),
            standing: RwLock::default(),
            gate: Arc::new(Gate::new(changed.clone(), stop.clone())),
            changed,
            stop,
            settings,
        }))
    }

    /// Listens; `path` is the one that clients are configured with.
    pub(crate) async fn listen(self, path: &str) -> io::Result<Running<V>> {
        let listener = TcpListener::bind(self.0.settings.listen).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let router = self.router();
        let stop = self.0.stop.clone();
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
            base_url: format!("{origin}{path}"),
            origin,
            stop: self.0.stop.clone().drop_guard(),
            emulator: self,
            tasks,
        })
    }

    /// All routes: the vendor's and the emulator's own.
    pub fn router(&self) -> Router {
        V::routes(self)
            .nest("/_emulator", crate::control::router())
            .with_state(self.clone())
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

    /// Calls everybody who asked to be called about a job that is remembered. Answers the statuses that came back; 0 where
    /// nobody answered.
    pub async fn call_back(&self) -> Vec<u16> {
        let client = reqwest::Client::builder().no_proxy().build();
        let client = client.expect("a plain client can be made");
        let mut statuses = Vec::new();
        for job in self.0.jobs.remembered() {
            let Some((url, body)) = V::callback(self, &job.id) else {
                continue;
            };
            let answer = client.post(url).json(&body).send().await;
            statuses.push(answer.map_or(0, |answer| answer.status().as_u16()));
        }
        statuses
    }

    /// Lets go on whatever is stalled now.
    pub fn release(&self) {
        self.0.gate.release();
    }

    pub fn clock(&self) -> &Clock {
        &self.0.settings.clock
    }

    fn replace_standing(&self, standing: Standing) {
        let mut current = self
            .0
            .standing
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(standing);
    }

    pub(crate) fn standing(&self) -> Arc<Standing> {
        let current = self
            .0
            .standing
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    pub(crate) fn vendor(&self) -> &V {
        &self.0.vendor
    }

    pub(crate) fn jobs(&self) -> &Jobs<V::Order> {
        &self.0.jobs
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.0.settings.clock.now()
    }

    pub(crate) fn count(&self, of: impl Fn(&Calls) -> &AtomicU64) {
        jobs::count(of(&self.0.calls));
        self.changed();
    }

    /// Wakes whoever waits for the counts.
    pub(crate) fn changed(&self) {
        self.0.changed.send_replace(());
    }

    /// Makes a job of `order`, or meets the fault that its prompt asks for.
    pub(crate) async fn create(
        &self,
        order: V::Order,
        remixed_from: Option<String>,
        name: impl FnOnce(&str, &V::Order) -> String,
    ) -> Result<Created<V::Order>, Uncreated> {
        let mut script = Script::of_prompt(order.prompt())
            .map_err(|unknown| Uncreated::Unfit(unknown.to_string()))?;
        self.0
            .films
            .check(&order.cut(0))
            .map_err(Uncreated::Unfit)?;
        let index = self.0.jobs.note_submit(order.prompt());
        let standing = self.standing();
        script.fall_back_to(&standing.script);
        let fault = standing
            .submit()
            .or_else(|| script.submit.at(index).cloned());
        let spoilt = match fault {
            Some(SubmitFault::Refused(how)) => {
                let answer = self.spoil(&how, StatusCode::OK, &Value::Null).await;
                return Ok(Created::Answer(answer));
            }
            Some(SubmitFault::Accepted(how)) => Some(how),
            None => None,
        };
        let settings = &self.0.settings;
        let late = script.slow_submit;
        let plan = Plan {
            queue: script.queue.unwrap_or(settings.queue),
            render: match script.ending {
                Some(Ending::Stuck) => None,
                Some(Ending::Fails(_)) | None => Some(script.render.unwrap_or(settings.render)),
            },
            remixed_from,
        };
        let job = self
            .0
            .jobs
            .accept(order, script, plan, self.now(), name)
            .map_err(|_full| Uncreated::Full(settings.max_running.unwrap_or(usize::MAX)))?;
        self.changed();
        if let Some(late) = late {
            tokio::select! {
                () = tokio::time::sleep(late) => {}
                () = self.0.stop.cancelled() => {}
            }
        }
        Ok(Created::Job(job, spoilt))
    }

    /// An answer as the fault would have it, in place of an honest one.
    pub(crate) async fn spoil(&self, how: &Spoilt, status: StatusCode, honest: &Value) -> Response {
        let json = [(header::CONTENT_TYPE, "application/json")];
        match how {
            Spoilt::Dropped => content::dropped(),
            Spoilt::Empty => json.into_response(),
            Spoilt::Truncated => {
                let text = honest.to_string();
                let half: String = text.chars().take(text.chars().count() / 2).collect();
                (json, half).into_response()
            }
            Spoilt::Html => Html(PAGE_FOR_PEOPLE).into_response(),
            Spoilt::ErrorIn200 => Json(self.vendor().envelope()).into_response(),
            Spoilt::Status(status) => self.vendor().trouble(status),
            Spoilt::Stalled => {
                self.0.gate.pass().await;
                (status, Json(honest)).into_response()
            }
            Spoilt::Huge => (json, content::huge()).into_response(),
            Spoilt::Slow => (status, json, content::slow(honest.to_string())).into_response(),
        }
    }

    /// The clip of output `output`, which the job's record tells of from now on.
    pub(crate) async fn film(
        &self,
        job: &Job<V::Order>,
        output: u32,
    ) -> Result<Arc<Film>, RenderFault> {
        let film = self.0.films.load(job.order.cut(output)).await?;
        *jobs::lock(&job.sha256) = Some(film.sha256.clone());
        Ok(film)
    }

    /// A file, or the part of it that was asked for, as well as the job's faults would have it. It is the call number
    /// `index` for it.
    pub(crate) async fn deliver(
        &self,
        job: &Job<V::Order>,
        index: u64,
        wanted: Wanted<'_>,
    ) -> Result<Response, RenderFault> {
        let fault = self
            .standing()
            .content()
            .or_else(|| job.script.content.at(index).cloned());
        match &fault {
            Some(ContentFault::Spoilt(Spoilt::Stalled)) => self.0.gate.pass().await,
            Some(ContentFault::Spoilt(Spoilt::Slow)) => {}
            Some(ContentFault::Spoilt(how)) => {
                return Ok(self.spoil(how, StatusCode::OK, &Value::Null).await);
            }
            _ => {}
        }
        let film = self.film(job, wanted.output).await?;
        let meter = Meter {
            counters: [
                Arc::clone(&job.content_bytes),
                Arc::clone(&self.0.calls.content_bytes),
            ],
            changed: self.0.changed.clone(),
        };
        Ok(content::deliver(
            &film,
            &wanted,
            fault.as_ref(),
            &self.0.gate,
            meter,
        ))
    }
}

impl<V: Vendor> Running<V> {
    /// Stops listening and waits until the calls under way have been answered. What is stalled goes on.
    pub async fn stop(self) {
        drop(self.stop);
        self.tasks.wait().await;
    }
}

/// Where the client reached this server.
pub(crate) fn origin(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("localhost");
    format!("http://{host}")
}

/// The key that a call carries.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

/// No content, which some clients want without a type.
pub(crate) fn nothing() -> Response {
    (StatusCode::NO_CONTENT, Body::empty()).into_response()
}
