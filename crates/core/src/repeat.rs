//! Recognising a repeated create that carries no idempotency key.
//!
//! SDKs send a failed POST again, and none of them sends a key. A repeat is known by its fingerprint and by what
//! became of the answer to the first try. Once the job's id is named in a later call, its client has it, and no
//! create is taken for a repeat any more.
//!
//! Not here: what a fingerprint is made of (`engine::admission`), forgetting it (`store`).

use std::time::Duration;

use crate::time::UnixTime;

/// A request that says it is a retry is matched with a job younger than this, and none with an older one.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);
/// One that does not say so, with a job younger than this, and only if that job's answer was lost.
const SAID_NOTHING: Duration = Duration::from_secs(2 * 60);

/// How often a client says it has tried before; 0 where it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RetryCount(pub u32);

/// The retry counts a job was made or matched by, each at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RetryCounts(pub u64);

impl RetryCounts {
    /// With `count` in it. Counts beyond 62 share the last place; nobody tries so often.
    #[must_use]
    pub const fn with(self, count: RetryCount) -> Self {
        Self(self.0 | Self::bit(count))
    }

    pub const fn contain(self, count: RetryCount) -> bool {
        self.0 & Self::bit(count) != 0
    }

    const fn bit(count: RetryCount) -> u64 {
        1 << if count.0 > 62 { 62 } else { count.0 }
    }
}

/// What became of the latest answer that named a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Its request runs, or nothing is known yet.
    Open,
    /// It was written to its end.
    Given,
    /// The connection closed, or the process died, before it was.
    Lost,
}

impl Answer {
    pub const ALL: [Self; 3] = [Self::Open, Self::Given, Self::Lost];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Given => "given",
            Self::Lost => "lost",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|answer| answer.as_str() == text)
    }
}

/// A job of the same fingerprint that no call has named yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unacknowledged {
    pub created_at: UnixTime,
    pub answer: Answer,
    pub matched: RetryCounts,
}

impl RetryCount {
    /// Jobs younger than this can be repeated by a request of this count.
    pub fn reach(self) -> Duration {
        if self > Self(0) {
            LONGEST
        } else {
            SAID_NOTHING
        }
    }
}

impl Unacknowledged {
    /// Whether a create of the same fingerprint is this job's request once more.
    pub fn is_repeated_by(&self, retry: RetryCount, now: UnixTime) -> bool {
        let open = if retry > RetryCount(0) {
            !self.matched.contain(retry)
        } else {
            self.answer == Answer::Lost
        };
        open && now.since(self.created_at) < retry.reach()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: UnixTime = UnixTime::from_seconds(1_795_420_800);

    fn made_by(retry: u32, answer: Answer) -> Unacknowledged {
        Unacknowledged {
            created_at: START,
            answer,
            matched: RetryCounts::default().with(RetryCount(retry)),
        }
    }

    fn after(seconds: u64) -> UnixTime {
        START.plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_request_that_says_it_is_a_retry_is_one_for_a_quarter_of_an_hour() {
        for answer in Answer::ALL {
            let job = made_by(0, answer);
            assert!(job.is_repeated_by(RetryCount(1), after(899)));
            assert!(!job.is_repeated_by(RetryCount(1), after(900)));
        }
    }

    #[test]
    fn a_request_that_says_nothing_is_one_for_two_minutes_if_the_answer_was_lost() {
        assert!(made_by(0, Answer::Lost).is_repeated_by(RetryCount(0), after(119)));
        assert!(!made_by(0, Answer::Lost).is_repeated_by(RetryCount(0), after(120)));
        for answer in [Answer::Open, Answer::Given] {
            assert!(!made_by(0, answer).is_repeated_by(RetryCount(0), START));
        }
    }

    #[test]
    fn a_job_is_matched_once_by_each_retry_count_its_own_included() {
        let job = made_by(1, Answer::Open);
        assert!(!job.is_repeated_by(RetryCount(1), START));
        assert!(job.is_repeated_by(RetryCount(2), START));
    }

    proptest! {
        /// Two clients send the same request; each repeats it until it is answered. Whatever is lost on the
        /// way, there are two jobs in the end, and each client was told of its own number of them.
        #[test]
        fn twins_stay_two_however_often_each_is_repeated(
            order in prop::collection::vec(any::<bool>(), 2..12),
        ) {
            let mut jobs: Vec<Unacknowledged> = Vec::new();
            let mut tries = [0u32; 2];
            for second in order {
                let client = usize::from(second);
                let retry = RetryCount(tries[client]);
                tries[client] += 1;
                match jobs.iter_mut().find(|job| job.is_repeated_by(retry, START)) {
                    Some(job) => job.matched = job.matched.with(retry),
                    None => jobs.push(made_by(retry.0, Answer::Open)),
                }
            }
            let clients = tries.iter().filter(|tries| **tries > 0).count();
            prop_assert_eq!(jobs.len(), clients);
        }
    }
}
