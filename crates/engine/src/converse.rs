//! Driving an adapter's conversation: sending what it asks for, repeating what may be repeated.
//!
//! A message that may buy twice is sent once; when its answer is lost, the failure is ambiguous and the
//! state machine decides.

use std::time::Duration;

use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::provider::{Conversation, Repeat, Secret, Step, Talk, Token};
use filmgate_core::request::Input;
use http::HeaderMap;

use crate::Parts;
use crate::upstream::{Account, Answer, LineError, fill};

/// How often a safe message is sent before the call counts as failed, and the wait in between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(250);

impl Parts {
    /// Brings `talk` to its result, and keeps the answer that was the last word. `inputs` are what the conversation's bodies may name.
    pub(crate) async fn converse<T>(
        &self,
        account: &Account,
        mut talk: Talk<T>,
        inputs: &[Input],
    ) -> Result<(T, Option<Answer>), Failure> {
        let mut answer: Option<Answer> = None;
        loop {
            match talk.next(answer.as_ref().map(Answer::short)) {
                Step::Done(value) => return Ok((value, answer)),
                Step::Failed(failure) => return Err(failure),
                Step::Send { message, repeat } => {
                    // Its long texts go before others may come.
                    drop(answer.take());
                    answer = Some(self.exchange(account, message, repeat, inputs).await?);
                }
            }
        }
    }

    async fn exchange(
        &self,
        account: &Account,
        message: http::Request<filmgate_core::provider::Body>,
        repeat: Repeat,
        inputs: &[Input],
    ) -> Result<Answer, Failure> {
        let (mut head, body) = message.into_parts();
        mark_proof(account, &mut head.headers);
        let body = fill(
            body,
            inputs,
            &self.assets,
            self.links.as_ref(),
            self.clock.now(),
        )
        .await
        .map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "an input cannot be read"
            );
            Failure::passing(
                FailureCode::GatewayError,
                "a stored input could not be read",
            )
        })?;
        let mut tries = 0;
        loop {
            tries += 1;
            let message = http::Request::from_parts(head.clone(), body.clone());
            match account
                .line
                .send(
                    message,
                    repeat,
                    self.config.call_deadline(),
                    &self.long_texts,
                    self.assets.spool(),
                )
                .await
            {
                Ok(answer) => return Ok(answer),
                Err(error) if repeat == Repeat::Safe && tries < TRIES => {
                    tracing::debug!(provider.id = %account.provider.name(), %error, "sending a message again");
                    tokio::time::sleep(PAUSE * tries).await;
                }
                Err(error) => {
                    if repeat == Repeat::MayBuyTwice && error.may_have_arrived() {
                        tracing::warn!(provider.id = %account.provider.name(), %error, "nobody can tell whether a message to {} arrived", account.provider.name());
                    }
                    return Err(lost(&error, repeat));
                }
            }
        }
    }
}

/// What carries the credential is a secret to whoever handles the message: never shown, and never sent elsewhere.
fn mark_proof(account: &Account, headers: &mut HeaderMap) {
    // Of any token: only the names count.
    let token = Token {
        secret: Secret::new("any"),
        expires_in: None,
    };
    for name in account.provider.proof(&token).keys() {
        if let http::header::Entry::Occupied(mut values) = headers.entry(name) {
            values
                .iter_mut()
                .for_each(|value| value.set_sensitive(true));
        }
    }
}

/// A message that never left was not acted on, whatever it was.
fn lost(error: &LineError, repeat: Repeat) -> Failure {
    if !error.may_have_arrived() {
        Failure::passing(FailureCode::ProviderError, error.to_string())
    } else if repeat == Repeat::MayBuyTwice {
        Failure::lost_answer(error.to_string())
    } else {
        Failure::passing(FailureCode::ProviderTimeout, error.to_string())
    }
}

/// The compiler's proof that a boxed conversation can be driven from any task.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Box<dyn Conversation<()>>>();
};
