//! Polling: asks the provider how a running job stands, or for new links to a finished one.

use std::time::Duration;

use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::job::{Event, Job, State};
use filmgate_core::provider::{NativeId, Observation};
use filmgate_store::{AfterCommit, StoreError};

use super::spread;
use crate::Parts;
use crate::commit::{Held, Stepped};
use crate::health::Topic;
use crate::upstream::Answer;

/// The wait after a poll that brought no answer, unless the provider named one.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// The wait after a provider did not know the id: three of these make the minute after which it is believed.
const UNKNOWN_AGAIN: Duration = Duration::from_secs(20);

impl Parts {
    pub(crate) async fn poll(&self, held: &mut Held) -> Result<(), StoreError> {
        let now = self.clock.now();
        let account = held.job.candidate().account();
        if let Err(wait) = self.health.may_ask(&account, &Topic::Job, now) {
            let wait = spread(wait);
            let unheard = self.overdue(held, Event::Unheard { wait });
            self.step(held, unheard, AfterCommit::EndLease).await?;
            return Ok(());
        }
        let first_time = matches!(held.job.life.state, State::Running { .. });
        let mut heard = None;
        let event = match self.observe(held).await {
            Ok((observation, answer)) => {
                heard = answer;
                self.overdue(held, self.event_of(held, observation))
            }
            Err(failure) => {
                tracing::warn!(video.id = %held.id(), failure.code = failure.code.as_str(), "{}", failure.message);
                let unheard = Event::Unheard {
                    wait: spread(failure.retry_after.unwrap_or(ASK_AGAIN)),
                };
                self.overdue(held, unheard)
            }
        };
        // Links die: a job that has succeeded is fetched in the same breath.
        let succeeded = matches!(event, Event::Succeeded { .. });
        let after = if succeeded {
            AfterCommit::KeepLease
        } else {
            AfterCommit::EndLease
        };
        if self.step(held, event, after).await? == Stepped::Taken && succeeded {
            if first_time {
                self.learn(&held.job);
            }
            return self.ingest(held, heard).await;
        }
        Ok(())
    }

    fn learn(&self, job: &Job) {
        let attempt = job.life.attempt.as_ref();
        let done = attempt.and_then(|attempt| Some((attempt.accepted_at?, attempt.done?)));
        if let Some((accepted_at, done)) = done {
            let candidate = job.candidate();
            let took = done.since(accepted_at);
            self.cadence
                .learn(&candidate.provider, &candidate.native_model, took);
        }
    }

    /// `event`, or the end of the job where it says that the job goes on and it has gone on for too long.
    fn overdue(&self, held: &Held, event: Event) -> Event {
        let goes_on = matches!(
            event,
            Event::Observed { .. } | Event::Unheard { .. } | Event::NotKnown { .. }
        );
        let running = matches!(held.job.life.state, State::Running { .. });
        let deadline = self.account(&held.job).ok().and_then(|it| it.deadline);
        let accepted_at = held.job.life.attempt.as_ref().and_then(|it| it.accepted_at);
        match (deadline, accepted_at) {
            (Some(deadline), Some(accepted_at))
                if goes_on && running && self.clock.now() >= accepted_at.plus(deadline) =>
            {
                Event::DeadlinePassed { deadline }
            }
            _ => event,
        }
    }

    /// What the provider says, and the answer it said it in: outputs may be in there.
    pub(super) async fn observe(
        &self,
        held: &Held,
    ) -> Result<(Observation, Option<Answer>), Failure> {
        let order = self.order(&held.job);
        self.ask_keeping(&held.job, &Topic::Job, |account, token| {
            account.provider.poll(&order, native(held), token)
        })
        .await
    }

    fn event_of(&self, held: &Held, observation: Observation) -> Event {
        match observation {
            Observation::Running { progress } => {
                let poll_every = self
                    .account(&held.job)
                    .map_or(ASK_AGAIN, |account| account.poll_every);
                Event::Observed {
                    progress,
                    expectation: self.cadence.expect(&held.job, poll_every, self.clock.now()),
                }
            }
            Observation::Succeeded(delivery) => Event::Succeeded { delivery },
            Observation::Failed(failure, usage) => Event::FailedUpstream { failure, usage },
            Observation::Expired(billed, usage) => Event::ExpiredUpstream { billed, usage },
            Observation::Cancelled(billed, usage) => {
                let failure = Failure::permanent(
                    FailureCode::ProviderError,
                    "the job was cancelled at the provider",
                )
                .billed(billed);
                Event::FailedUpstream { failure, usage }
            }
            Observation::Unknown => Event::NotKnown {
                wait: UNKNOWN_AGAIN,
            },
        }
    }
}

/// The provider's id of the latest attempt.
pub(super) fn native(held: &Held) -> &NativeId {
    held.job
        .life
        .attempt
        .as_ref()
        .and_then(|attempt| attempt.native.as_ref())
        .expect("a job that a provider took on has its id")
}
