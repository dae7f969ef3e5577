//! Two workers and one job, explored to the end: every state that claiming, renewing, giving back, committing, a
//! client's change and the passing of time can lead to, and every step out of it, against a model of ten lines.
//!
//! What the model holds, the store has to: whoever's lease ran out and was taken over never commits again, however
//! long its work takes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use filmgate_core::job::{Event, Expectation, Job, apply};
use filmgate_core::provider::NativeId;
use filmgate_core::time::UnixTime;
use filmgate_store::{AfterCommit, Basis, Committed, Store};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![every_step_out_of_every_state_is_the_models];

/// Half a lease.
const TICK: Duration = Duration::from_secs(30);
const TICKS_IN_A_LEASE: u64 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Claim(usize),
    Renew(usize),
    GiveBack(usize),
    /// And goes on, or is done.
    Commit(usize, AfterCommit),
    /// A client's change, which needs no lease.
    Change,
    Tick,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Claimed(bool),
    Renewed(bool),
    GaveBack,
    Committed,
    Stale,
    Lost,
    Changed,
    Ticked,
}

/// What a worker believes of the job it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Belief {
    fence: u64,
    version: u64,
}

/// The job and two workers, in numbers alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Model {
    now: u64,
    fence: u64,
    version: u64,
    lease_until: Option<u64>,
    workers: [Option<Belief>; 2],
}

/// A state as far as it decides what can come of it: times and counts relative to each other.
type Shape = (Option<u64>, [Option<(bool, bool)>; 2]);

impl Model {
    /// `None` where the step makes no sense: who has nothing renews nothing.
    fn take(&mut self, step: Step) -> Option<Outcome> {
        Some(match step {
            Step::Tick => {
                self.now += 1;
                Outcome::Ticked
            }
            Step::Change => {
                self.version += 1;
                Outcome::Changed
            }
            Step::Claim(worker) => {
                let free = self.lease_until.is_none_or(|until| until <= self.now);
                if free {
                    self.fence += 1;
                    self.lease_until = Some(self.now + TICKS_IN_A_LEASE);
                    self.workers[worker] = Some(Belief {
                        fence: self.fence,
                        version: self.version,
                    });
                }
                Outcome::Claimed(free)
            }
            Step::Renew(worker) => {
                let ours = self.workers[worker]?.fence == self.fence;
                let renewed = ours && self.lease_until.is_some();
                if renewed {
                    self.lease_until = Some(self.now + TICKS_IN_A_LEASE);
                }
                Outcome::Renewed(renewed)
            }
            Step::GiveBack(worker) => {
                if self.workers[worker]?.fence == self.fence {
                    self.lease_until = None;
                }
                Outcome::GaveBack
            }
            Step::Commit(worker, after) => {
                let belief = self.workers[worker]?;
                if belief.fence != self.fence {
                    return Some(Outcome::Lost);
                }
                if belief.version != self.version {
                    self.workers[worker].as_mut()?.version = self.version;
                    return Some(Outcome::Stale);
                }
                self.version += 1;
                self.workers[worker].as_mut()?.version = self.version;
                if after == AfterCommit::EndLease {
                    self.lease_until = None;
                }
                Outcome::Committed
            }
        })
    }

    fn shape(&self) -> Shape {
        (
            self.lease_until.map(|until| until.saturating_sub(self.now)),
            self.workers.map(|belief| {
                let belief = belief?;
                Some((belief.fence == self.fence, belief.version == self.version))
            }),
        )
    }
}

fn steps() -> Vec<Step> {
    let mut steps = vec![Step::Tick, Step::Change];
    for worker in 0..2 {
        steps.push(Step::Claim(worker));
        steps.push(Step::Renew(worker));
        steps.push(Step::GiveBack(worker));
        for after in [AfterCommit::KeepLease, AfterCommit::EndLease] {
            steps.push(Step::Commit(worker, after));
        }
    }
    steps
}

/// The same, with a real job. One job is due at a time, so that a claim is of that one.
struct Real<'a> {
    store: &'a dyn Store,
    now: UnixTime,
    /// As the store has it.
    job: Job,
    workers: [Option<Job>; 2],
}

impl<'a> Real<'a> {
    async fn new(store: &'a dyn Store, workspace: filmgate_core::id::WorkspaceId) -> Self {
        let mut job = Video::of(workspace).create(store).await;
        let submitted = Event::Submitted {
            attempt: 1,
            native: NativeId("native".into()),
            expectation: Expectation::default(),
        };
        live(store, &mut job, vec![Event::Claimed, submitted], START).await;
        Self {
            store,
            now: START,
            job,
            workers: [None, None],
        }
    }

    /// Nothing is left that the next job's claims could meet.
    async fn end(mut self) {
        let over = Event::WrittenOff { by: None };
        live(self.store, &mut self.job, vec![over], self.now).await;
    }

    async fn take(&mut self, step: Step) -> Outcome {
        match step {
            Step::Tick => {
                self.now = self.now.plus(TICK);
                Outcome::Ticked
            }
            Step::Change => {
                let mut job = self.job.clone();
                live(self.store, &mut job, vec![observed()], self.now).await;
                self.job = job;
                Outcome::Changed
            }
            Step::Claim(worker) => {
                let claims = self.store.claim_due(&intake("w", self.now, 2)).await;
                let mut claims = claims.unwrap();
                assert!(claims.len() <= 1, "one job is there to be claimed");
                let claimed = claims.pop();
                if let Some(claim) = &claimed {
                    self.job.fence = claim.job.fence;
                    self.workers[worker] = Some(claim.job.clone());
                }
                Outcome::Claimed(claimed.is_some())
            }
            Step::Renew(worker) => {
                let job = self.has(worker);
                let until = self.now.plus(TICK * 2);
                let renewed = self.store.renew(job.admission.id, job.fence, until).await;
                Outcome::Renewed(renewed.unwrap())
            }
            Step::GiveBack(worker) => {
                let job = self.has(worker);
                let given = self.store.give_back(job.admission.id, job.fence).await;
                given.unwrap();
                Outcome::GaveBack
            }
            Step::Commit(worker, after) => self.commit(worker, after).await,
        }
    }

    async fn commit(&mut self, worker: usize, after: AfterCommit) -> Outcome {
        let mut job = self.has(worker);
        let transition = apply(&job, observed(), self.now).unwrap();
        let basis = Basis::Claim {
            fence: job.fence,
            version: job.version,
            after,
        };
        let life = transition.life.clone();
        let committed = self.store.commit(job.admission.id, basis, transition).await;
        match committed.unwrap() {
            Committed::Committed { version } => {
                (job.life, job.version) = (life, version);
                self.job = job.clone();
                self.workers[worker] = Some(job);
                Outcome::Committed
            }
            Committed::Stale(now) => {
                assert_eq!(now.version, self.job.version);
                self.workers[worker] = Some(*now);
                Outcome::Stale
            }
            Committed::Lost => Outcome::Lost,
        }
    }

    fn has(&self, worker: usize) -> Job {
        self.workers[worker].clone().expect("the model says so")
    }
}

/// The provider was heard, and is to be asked again at once.
fn observed() -> Event {
    Event::Observed {
        progress: None,
        expectation: Expectation::default(),
    }
}

async fn every_step_out_of_every_state_is_the_models(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    let mut seen: BTreeMap<Shape, Vec<Step>> = BTreeMap::new();
    let mut ahead = VecDeque::from([Vec::new()]);
    seen.insert(Model::default().shape(), Vec::new());
    let mut explored = 0;
    while let Some(path) = ahead.pop_front() {
        for step in steps() {
            let mut model = Model::default();
            for step in &path {
                model.take(*step);
            }
            let Some(expected) = model.take(step) else {
                continue;
            };
            let mut real = Real::new(store, workspace).await;
            for step in &path {
                real.take(*step).await;
            }
            let outcome = real.take(step).await;
            assert_eq!(outcome, expected, "{step:?} after {path:?}");
            let versions = real.job.version - 3;
            assert_eq!(versions, model.version, "{step:?} after {path:?}");
            real.end().await;
            explored += 1;
            let mut longer = path.clone();
            longer.push(step);
            if seen.insert(model.shape(), longer.clone()).is_none() {
                ahead.push_back(longer);
            }
        }
    }
    // Fewer would mean that something is not reached any more.
    assert_eq!((seen.len(), explored), (41, 420));
}
