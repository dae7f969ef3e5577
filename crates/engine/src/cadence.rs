//! How long jobs take, learnt from those that succeeded, and how often to ask.
//!
//! What is asked for too often costs the provider, what is asked for too late costs the user. So a job is asked for seldom
//! while others of its kind were never done yet, at the provider's own pace while they usually were, and ever more seldom once
//! it is later than they were.
//!
//! What is known is of one process. A new one learns at its start from the latest attempts in the store.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filmgate_core::job::{Expectation, Job, Took};
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use filmgate_store::Success;

use crate::Parts;

/// A job of a kind nobody knows, or one that is overdue, waits for this part of its age.
const PART_OF_AGE: u32 = 10;
/// The longest wait, but for providers that are asked less often anyway.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest wait for a job that cannot be done yet: its owner wants to see that it lives.
const LONGEST_BEFORE: Duration = Duration::from_secs(60);
/// Shorter waits are not spread: whoever is asked so often is asked by all jobs all the time.
const SPREAD_FROM: Duration = Duration::from_secs(2);
/// Waits are longer by up to this part, each job's by its own share: a thousand jobs of one second are not asked for in one.
const SPREAD: u32 = 8;

/// So many of each kind are learnt from at the start: what came before them would weigh less than a fiftieth.
const RECALLED: u32 = 32;

/// By provider and its model. As many as the catalogue has pairs.
#[derive(Debug, Default)]
pub(crate) struct Cadence(Mutex<HashMap<(String, String), Usual>>);

/// How long jobs of one kind take: a running mean, and how far they are from it on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Usual {
    mean: Duration,
    deviation: Duration,
}

impl Cadence {
    /// Takes in that a job was not done yet at one age, and was at another: the last looks at it.
    pub(crate) fn learn(&self, provider: &ProviderName, native_model: &str, took: Took) {
        let unsure = took.done.saturating_sub(took.not_yet) / 2;
        let took = took.done.saturating_sub(unsure);
        self.all()
            .entry(key(provider, native_model))
            .and_modify(|usual| usual.learn(took, unsure))
            .or_insert(Usual::of(took, unsure));
    }

    /// How long such a job takes; `None` where none was seen.
    pub(crate) fn usual(&self, provider: &ProviderName, native_model: &str) -> Option<Duration> {
        let usual = self.all().get(&key(provider, native_model)).copied();
        usual.map(|usual| usual.mean)
    }

    /// What to expect of `job` at `now`, its provider being asked every `poll_every` at most.
    pub(crate) fn expect(&self, job: &Job, poll_every: Duration, now: UnixTime) -> Expectation {
        let candidate = job.candidate();
        let usual = self
            .all()
            .get(&key(&candidate.provider, &candidate.native_model))
            .copied();
        let attempt = job.life.attempt.as_ref();
        let accepted_at = attempt
            .and_then(|attempt| attempt.accepted_at)
            .unwrap_or(now);
        let wait = wait(usual, now.since(accepted_at), poll_every);
        // The same job always has the same share, whoever asks.
        let share = u32::from(job.admission.id.uuid().as_bytes()[15]);
        let more = match wait >= SPREAD_FROM {
            true => wait * share / (SPREAD * 256),
            false => Duration::ZERO,
        };
        Expectation {
            total: usual.map(|usual| usual.mean),
            next_poll: wait + more,
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(String, String), Usual>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parts {
    /// Learns from the latest attempts in the store, as those did that saw them end.
    pub(crate) async fn recall(&self) {
        match self.store.latest_successes(RECALLED).await {
            Ok(successes) => {
                for success in &successes {
                    let took = success.done.since(success.accepted_at);
                    let Success {
                        provider,
                        native_model,
                        ..
                    } = success;
                    self.cadence.learn(provider, native_model, took);
                }
                tracing::debug!(
                    attempts = successes.len(),
                    "how long jobs take was recalled"
                );
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "how long jobs took is not known, and is learnt anew"
            ),
        }
    }
}

impl Usual {
    fn of(took: Duration, unsure: Duration) -> Self {
        Self {
            mean: took,
            deviation: (took / 4).max(unsure),
        }
    }

    /// What was looked at seldom is known badly: without that, our own lateness would be taken for the provider's, and the
    /// next job be looked at later still.
    fn learn(&mut self, took: Duration, unsure: Duration) {
        let off = took.abs_diff(self.mean) + unsure;
        self.deviation = (self.deviation * 3 + off) / 4;
        self.mean = (self.mean * 7 + took) / 8;
    }

    /// Before this hardly any job is done.
    fn earliest(self) -> Duration {
        self.mean.saturating_sub(self.deviation * 2)
    }

    /// After this most are.
    fn latest(self) -> Duration {
        self.mean + self.deviation * 2
    }
}

fn wait(usual: Option<Usual>, age: Duration, poll_every: Duration) -> Duration {
    let by_age = (age / PART_OF_AGE).min(LONGEST);
    let wish = match usual {
        None => by_age,
        Some(usual) if age < usual.earliest() => {
            // A quarter of the usual time at most: what is much faster than usual is seen soon too.
            (usual.earliest() - age)
                .min(usual.mean / 4)
                .min(LONGEST_BEFORE)
        }
        Some(usual) if age <= usual.latest() => Duration::ZERO,
        Some(_) => by_age,
    };
    wish.max(poll_every)
}

fn key(provider: &ProviderName, native_model: &str) -> (String, String) {
    (provider.0.clone(), native_model.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVERY: Duration = Duration::from_secs(5);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The ages at which a job is asked for that is done after `takes`.
    fn polls(usual: Option<Usual>, takes: Duration) -> Vec<u64> {
        let mut age = Duration::ZERO;
        let mut ages = Vec::new();
        while age < takes {
            age += wait(usual, age, EVERY);
            ages.push(age.as_secs());
        }
        ages
    }

    #[test]
    fn a_job_of_a_known_kind_is_asked_for_seldom_until_it_may_be_done() {
        let usual = Usual {
            mean: seconds(120),
            deviation: seconds(10),
        };
        let wise = polls(Some(usual), seconds(118));
        assert_eq!(wise, [30, 60, 90, 100, 105, 110, 115, 120]);
        let fixed = 118_u64.div_ceil(5);
        assert!(wise.len() < fixed as usize / 2);
        let much_faster = polls(Some(usual), seconds(20));
        assert_eq!(much_faster, [30]);
        let overdue = polls(Some(usual), seconds(400));
        assert!(overdue.len() < 25, "{overdue:?}");
    }

    #[test]
    fn what_is_learnt_follows_what_is_seen() {
        let sure = Duration::ZERO;
        let mut usual = Usual::of(seconds(100), sure);
        for _ in 0..40 {
            usual.learn(seconds(60), sure);
        }
        assert!(usual.mean < seconds(61) && usual.deviation < seconds(1));
        usual.learn(seconds(90), sure);
        assert!(
            usual.latest() > seconds(70),
            "one outlier widens the window"
        );
    }

    /// What is seen late is not learnt as late: the end of jobs that all take as long comes to be seen within one wait.
    #[test]
    fn our_own_lateness_is_not_learnt() {
        for takes in [30, 47, 120, 600] {
            let cadence = Cadence::default();
            let (provider, model) = (ProviderName("p".into()), "m");
            let mut late = Duration::MAX;
            for _ in 0..30 {
                let usual = cadence.all().get(&key(&provider, model)).copied();
                let (mut before, mut age) = (Duration::ZERO, Duration::ZERO);
                while age < seconds(takes) {
                    before = age;
                    age += wait(usual, age, EVERY);
                }
                late = age - seconds(takes);
                let took = Took {
                    not_yet: before,
                    done: age,
                };
                cadence.learn(&provider, model, took);
            }
            assert!(late <= EVERY, "{takes}: {late:?}");
        }
    }

    proptest! {
        /// Never faster than the provider is asked at most, and never much later than the job was done.
        #[test]
        fn a_job_is_found_done_soon_and_never_asked_for_in_haste(
            mean in 1u64..2000,
            spread in 0u64..100,
            takes in 1u64..4000,
            known: bool,
        ) {
            let usual = known.then_some(Usual {
                mean: seconds(mean),
                deviation: seconds(mean * spread / 100),
            });
            let mut age = Duration::ZERO;
            while age < seconds(takes) {
                let next = wait(usual, age, EVERY);
                prop_assert!(next >= EVERY);
                age += next;
            }
            prop_assert!(age - seconds(takes) <= LONGEST_BEFORE);
        }
    }
}
