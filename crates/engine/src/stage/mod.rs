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
use filmgate_core::provider::{Order, Token};

use crate::Parts;
use crate::upstream::Account;

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

    async fn token(&self, account: &Account) -> Result<Token, Failure> {
        self.converse(
            account,
            account
                .provider
                .authorise(&account.credential, self.clock.now()),
            &[],
        )
        .await
    }
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
