//! The stages of a job's life, one file each. Every stage looks at the job, does one effect and commits
//! what came of it; it may be run at any time and any number of times.

mod abandon;
mod ingest;
mod poll;
mod retire;
mod submit;

use std::sync::Arc;
use std::time::Duration;

use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::job::Job;
use filmgate_core::provider::{Credential, Order, Talk, Token};
use filmgate_core::request::Request;

use tokio::time::Instant;

use crate::Parts;
use crate::entropy;
use crate::health::Topic;
use crate::upstream::{Account, Answer};

impl Parts {
    /// The account of the job's candidate; a failure where it is no longer configured.
    fn account(&self, job: &Job) -> Result<&Account, Failure> {
        let provider = &job.candidate().provider;
        self.accounts.get(provider).ok_or_else(|| {
            Failure::passing(
                FailureCode::ProviderAuth,
                format!("provider {provider} is not configured here any more"),
            )
        })
    }

    /// Has the conversation about `topic` that `begin` makes of a token with the job's provider.
    async fn ask<T>(
        &self,
        job: &Job,
        topic: &Topic,
        begin: impl Fn(&Account, &Token) -> Talk<T>,
    ) -> Result<T, Failure> {
        let (said, _) = self.ask_keeping(job, topic, begin).await?;
        Ok(said)
    }

    /// The same, with the answer that was the last word.
    async fn ask_keeping<T>(
        &self,
        job: &Job,
        topic: &Topic,
        begin: impl Fn(&Account, &Token) -> Talk<T>,
    ) -> Result<(T, Option<Answer>), Failure> {
        let account = self.account(job)?;
        let asked_at = Instant::now();
        let said = self.ask_by_token(account, job, begin).await;
        let (took, now) = (asked_at.elapsed(), self.clock.now());
        let own = job.candidate().account();
        self.health.heard(&own, topic, &said, took, now);
        said
    }

    /// A token that is refused is thrown away, and another one tried.
    async fn ask_by_token<T>(
        &self,
        account: &Account,
        job: &Job,
        begin: impl Fn(&Account, &Token) -> Talk<T>,
    ) -> Result<(T, Option<Answer>), Failure> {
        let inputs = &job.admission.request.inputs;
        let credential = self.credential(account, job).await?;
        let token = self.token(account, &credential).await?;
        let talk = begin(account, &token);
        match self.converse(account, talk, inputs).await {
            Err(failure) if is_stale(&failure) && self.tokens.forget(account, &credential) => {
                let token = self.token(account, &credential).await?;
                let talk = begin(account, &token);
                self.converse(account, talk, inputs).await
            }
            said => said,
        }
    }

    async fn token(&self, account: &Account, credential: &Credential) -> Result<Token, Failure> {
        let now = self.clock.now();
        let fresh = async {
            let talk = account.provider.authorise(credential, now);
            let (token, _) = self.converse(account, talk, &[]).await?;
            Ok(token)
        };
        self.tokens.of(account, credential, now, fresh).await
    }
}

/// A wait as it was wished, and up to a quarter more: whoever was told the same does not come back in the same moment.
fn spread(wait: Duration) -> Duration {
    let mut bytes = [0; 8];
    entropy::fill(&mut bytes);
    let most = u64::try_from(wait.as_millis() / 4).unwrap_or(u64::MAX);
    wait + Duration::from_millis(u64::from_le_bytes(bytes) % most.max(1))
}

/// Whether the provider refused the token itself, so that nothing was done.
fn is_stale(failure: &Failure) -> bool {
    failure.code == FailureCode::ProviderAuth && !failure.ambiguous
}

impl Parts {
    /// What an adapter is told of the job's latest attempt.
    fn order(&self, job: &Job) -> Order {
        let candidate = job.candidate();
        Order {
            native_model: candidate.native_model.clone(),
            request: match &candidate.left_out[..] {
                [] => Arc::clone(&job.admission.request),
                left_out => Arc::new(Request::clone(&job.admission.request).without(left_out)),
            },
            shape: candidate.shape.clone(),
            attempt_key: job
                .life
                .attempt
                .as_ref()
                .map(|attempt| attempt.key.clone())
                .unwrap_or_default(),
            callback_url: self.callback_url(job),
        }
    }
}
