//! How the providers do, as far as this process has seen lately: whom to ask, and whom to leave alone.
//!
//! - A **breaker** for each account opens when calls to it fail in a row, and is tried again by one call at a time, after a
//!   pause that doubles with every trial that fails.
//! - **Quiet** is what a provider wants when it answers that there were too many calls: for as long as it says, or for a pause
//!   that doubles. It is kept apart for polls and for the submits of each model, whose limits are often their own.
//!
//! Nothing here is stored or shared: every replica learns by itself, and a restart forgets. Not here: what a failure is called
//! (the adapters), which candidate is asked instead (`core::job`).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;

/// A breaker opens after so many failures in a row.
const FAILURES_TO_OPEN: u32 = 5;
/// The first pause of an open breaker, and the longest: a provider that is back is not to stand idle, and one call a minute
/// is no burden to one that is not.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Whoever tries an open breaker has so long; then somebody else may.
const TRIAL: Duration = Duration::from_secs(60);
/// A provider that wants quiet and does not say for how long gets this, doubling, up to the longest.
const FIRST_QUIET: Duration = Duration::from_secs(2);
/// However long a provider wants quiet, it is asked again after this: limits of a whole day are checked now and then.
const LONGEST_QUIET: Duration = Duration::from_secs(300);

/// What a call is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    /// A submit for this model of the provider's.
    Submit(String),
    /// A poll, or any other question about a job that it has.
    Job,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// All is well.
    Closed,
    /// It is not asked before then.
    Open { until: UnixTime },
    /// The next call tells.
    HalfOpen,
}

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub breaker: Breaker,
    /// Calls that failed since the last one that did not.
    pub failures_in_row: u32,
    /// Until when it wants quiet, for whatever it wants it longest.
    pub quiet_until: Option<UnixTime>,
    /// How long its answers take: a running mean.
    pub latency: Option<Duration>,
    pub last_failure: Option<LastFailure>,
    pub last_success_at: Option<UnixTime>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    pub at: UnixTime,
    pub code: FailureCode,
    /// In our words, or the provider's with secrets cut out.
    pub message: String,
}

/// By account, as `core::job::Candidate::account` names it: a workspace's own apart from the operator's.
#[derive(Default)]
pub(crate) struct Health(Mutex<HashMap<ProviderName, Record>>);

#[derive(Default)]
struct Record {
    failures_in_row: u32,
    open: Option<Open>,
    quiet: HashMap<Topic, Quiet>,
    latency: Option<Duration>,
    last_failure: Option<LastFailure>,
    last_success_at: Option<UnixTime>,
}

struct Open {
    until: UnixTime,
    pause: Duration,
    /// Since when somebody tries.
    trial: Option<UnixTime>,
}

struct Quiet {
    until: UnixTime,
    /// For the next time nobody says how long.
    pause: Duration,
}

impl Health {
    /// Whether the account may be asked about `topic` now, and if not, after how long.
    pub(crate) fn may_ask(
        &self,
        account: &ProviderName,
        topic: &Topic,
        now: UnixTime,
    ) -> Result<(), Duration> {
        let mut all = self.all();
        let Some(record) = all.get_mut(account) else {
            return Ok(());
        };
        if let Some(quiet) = record.quiet.get(topic).filter(|quiet| now < quiet.until) {
            return Err(quiet.until.since(now));
        }
        let Some(open) = &mut record.open else {
            return Ok(());
        };
        if now < open.until {
            return Err(open.until.since(now));
        }
        match open.trial {
            Some(since) if now < since.plus(TRIAL) => Err(open.pause.min(TRIAL)),
            _ => {
                open.trial = Some(now);
                Ok(())
            }
        }
    }

    /// Takes in what a call came to, and how long that took.
    pub(crate) fn heard<T>(
        &self,
        account: &ProviderName,
        topic: &Topic,
        came_to: &Result<T, Failure>,
        took: Duration,
        now: UnixTime,
    ) {
        let mut all = self.all();
        let record = all.entry(account.clone()).or_default();
        match came_to {
            Ok(_) => {
                record.quiet.remove(topic);
                record.answered(took, now);
            }
            Err(failure) => record.failed(topic, failure, took, now),
        }
    }

    /// Whether a new job had better be sent elsewhere.
    pub(crate) fn is_ill(&self, account: &ProviderName, topic: &Topic, now: UnixTime) -> bool {
        self.all().get(account).is_some_and(|record| {
            record.open.as_ref().is_some_and(|open| now < open.until)
                || record
                    .quiet
                    .get(topic)
                    .is_some_and(|quiet| now < quiet.until)
        })
    }

    pub(crate) fn standing(&self, account: &ProviderName, now: UnixTime) -> Standing {
        let all = self.all();
        let unknown = Record::default();
        let record = all.get(account).unwrap_or(&unknown);
        Standing {
            breaker: match &record.open {
                None => Breaker::Closed,
                Some(open) if now < open.until => Breaker::Open { until: open.until },
                Some(_) => Breaker::HalfOpen,
            },
            failures_in_row: record.failures_in_row,
            quiet_until: record
                .quiet
                .values()
                .map(|quiet| quiet.until)
                .filter(|until| now < *until)
                .max(),
            latency: record.latency,
            last_failure: record.last_failure.clone(),
            last_success_at: record.last_success_at,
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<ProviderName, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn answered(&mut self, took: Duration, now: UnixTime) {
        self.failures_in_row = 0;
        self.open = None;
        self.last_success_at = Some(now);
        self.latency = Some(self.latency.map_or(took, |mean| (mean * 7 + took) / 8));
    }

    fn failed(&mut self, topic: &Topic, failure: &Failure, took: Duration, now: UnixTime) {
        if failure.code == FailureCode::GatewayError {
            // Ours, and no word about the provider.
            return;
        }
        self.last_failure = Some(LastFailure {
            at: now,
            code: failure.code,
            message: failure.message.clone(),
        });
        if failure.code == FailureCode::RateLimited {
            let before = self.quiet.get(topic).map(|quiet| quiet.pause);
            let pause = before.map_or(FIRST_QUIET, |pause| (pause * 2).min(LONGEST_QUIET));
            let wanted = failure.retry_after.unwrap_or(pause).min(LONGEST_QUIET);
            let until = now.plus(wanted);
            self.quiet.insert(topic.clone(), Quiet { until, pause });
        }
        if !is_illness(failure.code) {
            // It answered, and refused for a reason of the request's.
            return self.answered(took, now);
        }
        self.failures_in_row += 1;
        let pause = match &self.open {
            Some(open) if open.trial.is_some() => Some((open.pause * 2).min(LONGEST_PAUSE)),
            Some(_) => None,
            None => (self.failures_in_row >= FAILURES_TO_OPEN).then_some(FIRST_PAUSE),
        };
        if let Some(pause) = pause {
            self.open = Some(Open {
                until: now.plus(pause),
                pause,
                trial: None,
            });
        }
    }
}

/// Whether the failure is of the account or the provider, whatever was asked.
const fn is_illness(code: FailureCode) -> bool {
    match code {
        FailureCode::ProviderAuth
        | FailureCode::ProviderQuota
        | FailureCode::ProviderError
        | FailureCode::ProviderTimeout => true,
        FailureCode::ContentModerated
        | FailureCode::InvalidRequest
        | FailureCode::ProviderPermission
        | FailureCode::RateLimited
        | FailureCode::ModelUnavailable
        | FailureCode::SubmissionAmbiguous
        | FailureCode::OutputInvalid
        | FailureCode::OutputUnavailable
        | FailureCode::Expired
        | FailureCode::GatewayError => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: UnixTime = UnixTime::from_seconds(1_795_420_800);

    struct Patient {
        health: Health,
        account: ProviderName,
        now: UnixTime,
    }

    impl Patient {
        fn new() -> Self {
            Self {
                health: Health::default(),
                account: ProviderName("p".into()),
                now: START,
            }
        }

        fn may_ask(&self, topic: &Topic) -> Result<(), Duration> {
            self.health.may_ask(&self.account, topic, self.now)
        }

        fn heard(&self, topic: &Topic, came_to: Result<(), Failure>) {
            let took = Duration::from_millis(80);
            self.health
                .heard(&self.account, topic, &came_to, took, self.now);
        }

        fn breaker(&self) -> Breaker {
            self.health.standing(&self.account, self.now).breaker
        }

        fn pass(&mut self, seconds: u64) {
            self.now = self.now.plus(Duration::from_secs(seconds));
        }
    }

    fn down() -> Result<(), Failure> {
        Err(Failure::passing(FailureCode::ProviderError, "down"))
    }

    fn limited(wait: Option<u64>) -> Result<(), Failure> {
        Err(Failure::passing(FailureCode::RateLimited, "slower")
            .retry_after(wait.map(Duration::from_secs)))
    }

    fn submit(model: &str) -> Topic {
        Topic::Submit(model.into())
    }

    #[test]
    fn a_breaker_opens_on_failures_in_a_row_and_one_trial_closes_it() {
        let mut it = Patient::new();
        for _ in 0..4 {
            it.heard(&Topic::Job, down());
        }
        it.heard(&Topic::Job, Ok(()));
        for _ in 0..4 {
            it.heard(&submit("m"), down());
        }
        assert_eq!(it.breaker(), Breaker::Closed);
        it.heard(&Topic::Job, down());
        let until = START.plus(FIRST_PAUSE);
        assert_eq!(it.breaker(), Breaker::Open { until });
        assert_eq!(it.may_ask(&submit("n")), Err(FIRST_PAUSE));
        assert!(it.health.is_ill(&it.account, &submit("m"), it.now));
        it.pass(10);
        assert_eq!(it.breaker(), Breaker::HalfOpen);
        assert_eq!(it.may_ask(&Topic::Job), Ok(()));
        assert_eq!(it.may_ask(&Topic::Job), Err(FIRST_PAUSE), "one tries");
        it.heard(&Topic::Job, down());
        assert_eq!(it.may_ask(&Topic::Job), Err(FIRST_PAUSE * 2));
        it.pass(20);
        assert_eq!(it.may_ask(&Topic::Job), Ok(()));
        it.heard(&Topic::Job, Ok(()));
        assert_eq!(it.breaker(), Breaker::Closed);
        assert_eq!(it.may_ask(&Topic::Job), Ok(()));
    }

    #[test]
    fn a_trial_that_is_never_heard_of_is_not_waited_for_for_ever() {
        let mut it = Patient::new();
        for _ in 0..5 {
            it.heard(&Topic::Job, down());
        }
        it.pass(10);
        assert_eq!(it.may_ask(&Topic::Job), Ok(()));
        it.pass(59);
        assert!(it.may_ask(&Topic::Job).is_err());
        it.pass(1);
        assert_eq!(it.may_ask(&Topic::Job), Ok(()));
    }

    #[test]
    fn what_a_request_is_refused_for_is_no_illness() {
        let it = Patient::new();
        for code in [
            FailureCode::ContentModerated,
            FailureCode::InvalidRequest,
            FailureCode::ModelUnavailable,
            FailureCode::GatewayError,
        ] {
            for _ in 0..9 {
                it.heard(&Topic::Job, Err(Failure::of(code, "no")));
            }
        }
        assert_eq!(it.breaker(), Breaker::Closed);
    }

    #[test]
    fn quiet_is_kept_for_as_long_as_it_is_wanted_and_for_that_alone() {
        let mut it = Patient::new();
        it.heard(&submit("a"), limited(Some(30)));
        assert_eq!(it.may_ask(&submit("a")), Err(Duration::from_secs(30)));
        assert_eq!(it.may_ask(&submit("b")), Ok(()));
        assert_eq!(it.may_ask(&Topic::Job), Ok(()));
        it.pass(30);
        assert_eq!(it.may_ask(&submit("a")), Ok(()));
        let mut waits = Vec::new();
        for _ in 0..9 {
            it.heard(&Topic::Job, limited(None));
            waits.push(it.may_ask(&Topic::Job).unwrap_err().as_secs());
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
        it.heard(&Topic::Job, Ok(()));
        it.heard(&Topic::Job, limited(None));
        assert_eq!(it.may_ask(&Topic::Job), Err(FIRST_QUIET));
        it.heard(&submit("a"), limited(Some(86_400)));
        assert_eq!(it.may_ask(&submit("a")), Err(LONGEST_QUIET));
    }

    proptest! {
        /// Nobody is shut out for ever: whatever was heard, the longest pause later somebody may ask.
        #[test]
        fn everybody_is_asked_again(
            calls in proptest::collection::vec((0u8..4, 0u64..400, any::<bool>()), 0..60)
        ) {
            let mut it = Patient::new();
            for (kind, seconds, asks) in calls {
                if asks {
                    let _ = it.may_ask(&Topic::Job);
                }
                it.heard(&Topic::Job, match kind {
                    0 => Ok(()),
                    1 => down(),
                    2 => limited(None),
                    _ => limited(Some(seconds)),
                });
                it.pass(seconds / 40);
            }
            it.pass(300);
            it.pass(60);
            prop_assert_eq!(it.may_ask(&Topic::Job), Ok(()));
        }
    }
}
