//! How long jobs take, learnt from those that succeeded, and how often to ask.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use filmgate_core::job::{Candidate, Expectation, Job};
use filmgate_core::time::UnixTime;

/// Running means, by provider and its model. As many as the catalogue has pairs.
#[derive(Debug, Default)]
pub(crate) struct Cadence(Mutex<HashMap<(String, String), Duration>>);

impl Cadence {
    /// Takes in that a job took `took` from acceptance to success.
    pub(crate) fn learn(&self, candidate: &Candidate, took: Duration) {
        let mut means = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mean = means.entry(key(candidate)).or_insert(took);
        *mean = (*mean * 3 + took) / 4;
    }

    /// What to expect of `job` at `now`, its provider being asked at least every `poll_every`.
    ///
    /// A tenth of the time since acceptance is a fair wait: the poll that finds it done is late by a tenth at
    /// most.
    pub(crate) fn expect(&self, job: &Job, poll_every: Duration, now: UnixTime) -> Expectation {
        let total = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key(job.candidate()))
            .copied();
        let accepted_at = job
            .life
            .attempt
            .as_ref()
            .and_then(|attempt| attempt.accepted_at)
            .unwrap_or(now);
        let elapsed = now.since(accepted_at);
        Expectation {
            total,
            next_poll: poll_every
                .max(elapsed / 10)
                .min(Duration::from_secs(30).max(poll_every)),
        }
    }
}

fn key(candidate: &Candidate) -> (String, String) {
    (candidate.provider.0.clone(), candidate.native_model.clone())
}
