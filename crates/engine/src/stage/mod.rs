//! The stages of a job's life, one file each. Every stage looks at the job, does one effect and commits
//! what came of it; it may be run at any time and any number of times.

mod abandon;
mod ingest;
mod poll;
mod retire;
mod submit;

use std::sync::Arc;

use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::job::Job;
use filmgate_core::provider::{Order, Talk, Token};

use crate::Parts;
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

    /// Has the conversation that `begin` makes of a token with the job's provider.
    async fn ask<T>(
        &self,
        job: &Job,
        begin: impl Fn(&Account, &Token) -> Talk<T>,
    ) -> Result<T, Failure> {
        let (said, _) = self.ask_keeping(job, begin).await?;
        Ok(said)
    }

    /// The same, with the answer that was the last word. A token that is refused is thrown away, and another one tried.
    async fn ask_keeping<T>(
        &self,
        job: &Job,
        begin: impl Fn(&Account, &Token) -> Talk<T>,
    ) -> Result<(T, Option<Answer>), Failure> {
        let account = self.account(job)?;
        let inputs = &job.admission.request.inputs;
        let token = self.token(account).await?;
        let talk = begin(account, &token);
        match self.converse(account, talk, inputs).await {
            Err(failure) if is_stale(&failure) && self.tokens.forget(account) => {
                let token = self.token(account).await?;
                let talk = begin(account, &token);
                self.converse(account, talk, inputs).await
            }
            said => said,
        }
    }

    async fn token(&self, account: &Account) -> Result<Token, Failure> {
        let now = self.clock.now();
        let fresh = async {
            let talk = account.provider.authorise(&account.credential, now);
            let (token, _) = self.converse(account, talk, &[]).await?;
            Ok(token)
        };
        self.tokens.of(account, now, fresh).await
    }
}

/// Whether the provider refused the token itself, so that nothing was done.
fn is_stale(failure: &Failure) -> bool {
    failure.code == FailureCode::ProviderAuth && !failure.ambiguous
}

/// What an adapter is told of the job's latest attempt.
fn order(job: &Job) -> Order {
    let candidate = job.candidate();
    Order {
        native_model: candidate.native_model.clone(),
        request: Arc::clone(&job.admission.request),
        shape: candidate.shape.clone(),
        attempt_key: job
            .life
            .attempt
            .as_ref()
            .map(|attempt| attempt.key.clone())
            .unwrap_or_default(),
        callback_url: None,
    }
}
