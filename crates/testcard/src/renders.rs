//! Renders in memory: accepted, queued, rendered, ended, forgotten.
//!
//! A render is known by an id that follows from its order and its attempt, so accepting one twice is
//! accepting it once. What is forgotten can be ordered again and comes out the same.
//!
//! Not here: HTTP (`service`), drawing (`render`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use filmgate_core::failure::FailureCode;
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::order::{FRAME_RATE, JobOrder, RenderOrder};
use crate::outputs::{OutputKey, Outputs};
use crate::render::{self, Progress, RenderError};
use crate::simulate::CancelBehaviour;

/// What the service may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Renders that run at the same time, each on a thread of its own.
    pub renders_at_once: usize,
    /// Orders remembered; those that ended first are forgotten first.
    pub orders: usize,
    /// Bytes of remembered orders, first frames included.
    pub order_bytes: usize,
    /// Bytes of finished files kept for whoever fetches them.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            renders_at_once: 1,
            orders: 20_000,
            order_bytes: 256 << 20,
            output_bytes: 128 << 20,
        }
    }
}

/// All renders of one service.
pub(crate) struct Renders {
    limits: Limits,
    known: Mutex<Known>,
    outputs: Mutex<Outputs>,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<String, Arc<Render>>,
    /// Those that ended, first ended first.
    ended: VecDeque<String>,
    bytes: usize,
}

/// One accepted order.
pub(crate) struct Render {
    pub(crate) id: String,
    pub(crate) order: JobOrder,
    first_frame: Option<Bytes>,
    /// When the answer to its submit is given.
    pub(crate) answered: Instant,
    /// When it leaves the queue.
    begins: Instant,
    progress: Arc<Progress>,
    stop: CancellationToken,
    end: Mutex<Option<End>>,
}

/// How a render ended. `permille` is how far it had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Succeeded,
    Failed {
        code: FailureCode,
        message: String,
        permille: u32,
    },
    Cancelled {
        permille: u32,
    },
}

/// What a render is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    Queued,
    Rendering { permille: u32 },
    Ended(End),
}

/// Whether an order was new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Novelty {
    New,
    Repeated,
}

/// Why an order is not accepted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Everything remembered is still running.
    Full,
    Closing,
}

/// What came of a cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cancel {
    Cancelled,
    TooLate,
    Unsupported,
}

impl Renders {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            known: Mutex::default(),
            outputs: Mutex::new(Outputs::new(limits.output_bytes)),
            permits: Arc::new(Semaphore::new(limits.renders_at_once.max(1))),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }
    }

    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.closing
    }

    /// Runs what would keep the runtime's thread busy for long.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        match self.tasks.spawn_blocking(work).await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// Ends every render and waits for their threads.
    pub(crate) async fn shutdown(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes an order on, once.
    pub(crate) fn accept(
        self: &Arc<Self>,
        order: JobOrder,
        first_frame: Option<Bytes>,
        attempt_key: &str,
    ) -> Result<(Arc<Render>, Novelty), Turned> {
        let id = order.native_id(attempt_key);
        let mut known = lock(&self.known);
        if let Some(render) = known.by_id.get(&id) {
            return Ok((render.clone(), Novelty::Repeated));
        }
        if self.closing.is_cancelled() {
            return Err(Turned::Closing);
        }
        let answered = Instant::now() + order.simulation.submit;
        let render = Arc::new(Render {
            id: id.clone(),
            answered,
            begins: answered + order.simulation.queue,
            order,
            first_frame,
            progress: Arc::default(),
            stop: self.closing.child_token(),
            end: Mutex::default(),
        });
        self.make_room(&mut known, render.weight())?;
        known.bytes += render.weight();
        known.by_id.insert(id.clone(), render.clone());
        if render.order.simulation.ambiguous_submit {
            // Nobody will ever learn of it, so nothing is rendered; it is remembered to be denied.
            known.ended.push_back(id);
        } else {
            let renders = self.clone();
            let accepted = render.clone();
            self.tasks
                .spawn(async move { renders.run(&accepted).await });
        }
        Ok((render, Novelty::New))
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Render>> {
        lock(&self.known).by_id.get(id).cloned()
    }

    /// Cancels a render as its order says that it goes. Cancelling twice is cancelling once.
    pub(crate) fn cancel(&self, render: &Render) -> Cancel {
        match render.order.simulation.cancel {
            CancelBehaviour::Unsupported => return Cancel::Unsupported,
            CancelBehaviour::TooLate => return Cancel::TooLate,
            CancelBehaviour::Free | CancelBehaviour::Billed => {}
        }
        let permille = render.permille(Instant::now());
        self.end(render, End::Cancelled { permille });
        render.stop.cancel();
        match *lock(&render.end) {
            Some(End::Cancelled { .. }) => Cancel::Cancelled,
            _ => Cancel::TooLate,
        }
    }

    /// The file of output `sample` of a render that succeeded: as kept, or rendered again.
    pub(crate) async fn output(&self, render: &Render, sample: u32) -> Result<Bytes, RenderError> {
        let key = (render.id.clone(), sample);
        let kept = lock(&self.outputs).find(&key);
        if let Some(file) = kept {
            return Ok(file);
        }
        let order = render.output(sample);
        let frames = order.seconds * FRAME_RATE;
        self.film(order, frames, Arc::default()).await
    }

    /// Lets go of a file that has been fetched.
    pub(crate) fn fetched(&self, key: &OutputKey) {
        lock(&self.outputs).forget(key);
    }

    async fn run(&self, render: &Render) {
        // The render may be dropped half-way: dropping it stops its thread before the next frame.
        tokio::select! {
            () = render.stop.cancelled() => {}
            end = self.play(render) => self.end(render, end),
        }
    }

    async fn play(&self, render: &Render) -> End {
        let simulation = &render.order.simulation;
        let percent = simulation
            .fail
            .map_or(100, |_| simulation.fail_after_percent);
        let goal = u64::from(render.frames()) * u64::from(percent) / 100;
        sleep_until(render.begins).await;
        let (rendered, ()) = tokio::join!(
            self.render(render, goal as u32),
            sleep_until(render.begins + simulation.render * percent / 100),
        );
        let permille = percent * 10;
        match (simulation.fail, rendered) {
            (Some(code), _) => End::Failed {
                code,
                message: format!("the order asked to fail with {}", code.as_str()),
                permille,
            },
            (None, Ok(())) => End::Succeeded,
            (None, Err(error @ RenderError::FirstFrame(_))) => End::Failed {
                code: FailureCode::InvalidRequest,
                message: error.to_string(),
                permille: 0,
            },
            (None, Err(error @ (RenderError::Stopped | RenderError::Film(_)))) => End::Failed {
                code: FailureCode::ProviderError,
                message: error.to_string(),
                permille: 0,
            },
        }
    }

    /// Renders outputs until `goal` frames are done, and keeps those that got whole.
    async fn render(&self, render: &Render, goal: u32) -> Result<(), RenderError> {
        let each = render.order.seconds * FRAME_RATE;
        let mut left = goal;
        for sample in 0..render.delivered() {
            let frames = each.min(left);
            if frames == 0 {
                break;
            }
            left -= frames;
            let order = render.output(sample);
            let file = self.film(order, frames, render.progress.clone()).await?;
            if frames == each && render.order.simulation.fail.is_none() {
                lock(&self.outputs).keep((render.id.clone(), sample), file);
            }
        }
        Ok(())
    }

    async fn film(
        &self,
        order: RenderOrder,
        frames: u32,
        progress: Arc<Progress>,
    ) -> Result<Bytes, RenderError> {
        let permit = self
            .permits
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let mut guard = StopWhenDropped(Some(progress.clone()));
        let thread = self.tasks.spawn_blocking(move || {
            let film = render::render_frames(&order, frames, &progress);
            drop(permit);
            film
        });
        let film = thread.await;
        guard.0 = None;
        film.unwrap_or(Err(RenderError::Stopped)).map(Bytes::from)
    }

    /// Writes down how a render ended, unless it has ended before.
    fn end(&self, render: &Render, end: End) {
        {
            let mut slot = lock(&render.end);
            if slot.is_some() {
                return;
            }
            *slot = Some(end);
        }
        lock(&self.known).ended.push_back(render.id.clone());
    }

    fn make_room(&self, known: &mut Known, weight: usize) -> Result<(), Turned> {
        while known.by_id.len() >= self.limits.orders
            || known.bytes + weight > self.limits.order_bytes
        {
            let oldest = known.ended.pop_front().ok_or(Turned::Full)?;
            if let Some(forgotten) = known.by_id.remove(&oldest) {
                known.bytes -= forgotten.weight();
                let mut outputs = lock(&self.outputs);
                for sample in 0..forgotten.order.sample_count {
                    outputs.forget(&(oldest.clone(), sample));
                }
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        lock(&self.known).by_id.len()
    }

    #[cfg(test)]
    pub(crate) fn output_bytes(&self) -> usize {
        lock(&self.outputs).bytes()
    }
}

/// Stops a render whose future is dropped before it is done. Emptied when it is: the outputs of one order
/// share their progress, so the first to be done must not stop the next.
struct StopWhenDropped(Option<Arc<Progress>>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.stop();
        }
    }
}

impl Render {
    pub(crate) fn phase(&self, now: Instant) -> Phase {
        if let Some(end) = lock(&self.end).clone() {
            Phase::Ended(end)
        } else if now < self.begins {
            Phase::Queued
        } else {
            Phase::Rendering {
                permille: self.permille(now),
            }
        }
    }

    /// How many outputs are delivered; the others are missing.
    pub(crate) fn delivered(&self) -> u32 {
        let asked = self.order.sample_count;
        asked.saturating_sub(self.order.simulation.missing_outputs)
    }

    /// What is billed for each output when it ended `permille` of the way.
    pub(crate) fn billed_ms(&self, permille: u32) -> u64 {
        self.order
            .simulation
            .billed_ms
            .unwrap_or(u64::from(permille) * u64::from(self.order.seconds))
    }

    /// How far it has come: by the frames done, and no further than its time has run.
    fn permille(&self, now: Instant) -> u32 {
        let frames = self.frames();
        let done = if frames == 0 {
            1000
        } else {
            self.progress.permille(frames)
        };
        let least = self.order.simulation.render;
        if least.is_zero() {
            return done;
        }
        let elapsed = now.saturating_duration_since(self.begins);
        done.min(share(elapsed, least))
    }

    /// Frames in everything it delivers.
    fn frames(&self) -> u32 {
        self.order.seconds * FRAME_RATE * self.delivered()
    }

    fn output(&self, sample: u32) -> RenderOrder {
        self.order.output(sample, self.first_frame.clone())
    }

    /// About how many bytes remembering it takes.
    fn weight(&self) -> usize {
        let text =
            self.order.prompt.len() + self.order.negative_prompt.as_ref().map_or(0, String::len);
        1024 + text + self.first_frame.as_ref().map_or(0, Bytes::len)
    }
}

fn share(part: Duration, whole: Duration) -> u32 {
    (part.as_millis() * 1000 / whole.as_millis().max(1)).min(1000) as u32
}

/// A lock whose holder panicked still guards whole values: every change under it is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
