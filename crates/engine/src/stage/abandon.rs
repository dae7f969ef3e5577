//! A job that was given up: stops it at the provider where that is possible, then learns whether it is
//! billed. The job's status is settled already; this is about its money.

use std::time::Duration;

use filmgate_core::failure::{Billed, Failure};
use filmgate_core::job::Event;
use filmgate_core::provider::{CancelOutcome, Observation, Usage};
use filmgate_store::{AfterCommit, StoreError};

use super::poll::native;
use crate::Parts;
use crate::commit::Held;
use crate::health::Topic;

const ASK_AGAIN: Duration = Duration::from_secs(5);

impl Parts {
    pub(crate) async fn abandon(&self, held: &mut Held) -> Result<(), StoreError> {
        let life = &held.job.life;
        let submitted = life
            .attempt
            .as_ref()
            .is_some_and(|attempt| attempt.native.is_some());
        let cancel_asked = life.fate.is_some_and(|fate| fate.cancel_asked);
        let event = if !submitted {
            self.trace(held).await
        } else if cancel_asked {
            self.ask_for_fate(held).await
        } else {
            self.ask_to_cancel(held).await
        };
        self.step(held, event, AfterCommit::EndLease).await?;
        Ok(())
    }

    async fn ask_to_cancel(&self, held: &Held) -> Event {
        match self.send_cancel(held).await {
            Ok(
                CancelOutcome::Cancelled(Billed::Unknown, _)
                | CancelOutcome::TooLate
                | CancelOutcome::Unsupported,
            ) => self.ask_for_fate(held).await,
            Ok(CancelOutcome::Cancelled(billed, usage)) => Event::FateKnown { billed, usage },
            Err(failure) => {
                let put_off = self.put_off(held, &failure, false);
                match self.ask_for_fate(held).await {
                    // Whoever did not hear it is told again.
                    Event::FatePending { .. } => put_off,
                    known => known,
                }
            }
        }
    }

    /// How the job ended over there tells whether it is billed.
    async fn ask_for_fate(&self, held: &Held) -> Event {
        let observed = self.observe(held).await;
        match observed.map(|(observation, _)| observation) {
            Ok(Observation::Running { .. } | Observation::Unknown) => Event::FatePending {
                wait: self.patience(held),
                cancel_asked: true,
            },
            Ok(Observation::Succeeded(delivery)) => Event::FateKnown {
                billed: Billed::Yes,
                usage: delivery.usage,
            },
            Ok(Observation::Failed(failure, usage)) => known(failure.billed, usage),
            Ok(Observation::Expired(billed, usage) | Observation::Cancelled(billed, usage)) => {
                known(billed, usage)
            }
            Err(failure) => self.put_off(held, &failure, true),
        }
    }

    async fn send_cancel(&self, held: &Held) -> Result<CancelOutcome, Failure> {
        let account = self.account(&held.job)?;
        if !account.provider.protocol().can_cancel {
            return Ok(CancelOutcome::Unsupported);
        }
        let order = self.order(&held.job);
        self.ask(&held.job, &Topic::Job, |account, token| {
            account.provider.cancel(&order, native(held), token)
        })
        .await
    }

    fn put_off(&self, held: &Held, failure: &Failure, cancel_asked: bool) -> Event {
        tracing::warn!(video.id = %held.id(), failure.code = failure.code.as_str(), "the fate of the attempt is not known yet: {}", failure.message);
        Event::FatePending {
            wait: failure.retry_after.unwrap_or(ASK_AGAIN),
            cancel_asked,
        }
    }

    fn patience(&self, held: &Held) -> Duration {
        let poll_every = self
            .account(&held.job)
            .map_or(ASK_AGAIN, |account| account.poll_every);
        self.cadence
            .expect(&held.job, poll_every, self.clock.now())
            .next_poll
    }
}

fn known(billed: Billed, usage: Usage) -> Event {
    Event::FateKnown { billed, usage }
}
