//! Runway's API: tasks, polled until their outputs have signed links.
//!
//! Written against its public reference and what its SDKs (runwayml 5.24 for Python, @runwayml/sdk 4.20 for Node) were seen
//! to send. It takes no idempotency key and finds no task by an id of ours, so a submit whose answer is lost is never sent
//! again.
//!
//! Not verified, and taken on the safe side: that exhausted credits come as a 400 that says so, what 403 means, and what a
//! task that was cancelled while it ran is charged (its estimate is taken to be).
//!
//! Aleph's keyframes are not spoken of: each is a picture and a second of the clip, and inputs have no seconds to be told with.
//!
//! An upload's file goes to an address that came out of an answer: that message has no credential. Links of ours to inputs are not
//! used: the vendor takes 32 MB behind one where an upload may have 200 MB, and has to reach this gateway, by https and a host
//! name, where an upload always arrives.
//!
//! Not here: what a model can do and costs (`catalogue`).

mod cancel;
mod complaint;
mod model;
mod order;
mod submit;
mod task;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::provider::{
    Body, CancelOutcome, NativeId, Observation, Order, Proposal, Protocol, Provider, Recovered,
    Repeat, SubmitRepeat, Submitted, Talk, Token, ask, done, fail,
};
use filmgate_core::request::{ProviderName, Refusal};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::Value;
use url::Url;

use self::cancel::Cancel;
use self::complaint::refused;
use self::submit::Submit;
use self::task::Task;
use crate::path;
use crate::redaction::Redaction;
use crate::unclear::{left_open, unreadable};

/// Where the API is, unless something else stands in for it.
pub const BASE_URL: &str = "https://api.dev.runwayml.com";
/// The environment variable that usually holds the key.
pub const KEY_VARIABLE: &str = "RUNWAYML_API_SECRET";
/// Mandatory, and the only value so far.
const VERSION: (&str, &str) = ("x-runway-version", "2024-11-06");

/// The adapter of one account.
#[derive(Debug, Clone)]
pub struct Runway {
    name: ProviderName,
    /// Without a slash at its end.
    base: String,
}

impl Runway {
    pub fn new(name: ProviderName, base_url: &Url) -> Self {
        Self {
            name,
            base: base_url.as_str().trim_end_matches('/').to_owned(),
        }
    }

    fn about(
        &self,
        method: Method,
        native: &NativeId,
        token: &Token,
    ) -> Result<Request<Body>, Failure> {
        let path = format!("/v1/tasks/{}", path::step(native));
        self.message(method, &path, token, Body::empty())
    }

    fn message(
        &self,
        method: Method,
        path: &str,
        token: &Token,
        body: Body,
    ) -> Result<Request<Body>, Failure> {
        let mut message = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(VERSION.0, VERSION.1)
            .header(header::ACCEPT, "application/json")
            .body(body)
            .map_err(|_| {
                Failure::permanent(
                    FailureCode::GatewayError,
                    format!("the base_url of {} makes no address", self.name),
                )
            })?;
        message.headers_mut().extend(self.proof(token));
        Ok(message)
    }

    fn post(&self, path: &str, token: &Token, body: Body) -> Result<Request<Body>, Failure> {
        let mut message = self.message(Method::POST, path, token, body)?;
        message.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Ok(message)
    }
}

impl Provider for Runway {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn protocol(&self) -> Protocol {
        Protocol {
            submit_repeat: SubmitRepeat::Never,
            can_cancel: true,
            calls_back: false,
        }
    }

    fn check(&self, proposal: Proposal<'_>) -> Result<(), Refusal> {
        order::check(proposal).map(drop)
    }

    fn submit(&self, order: &Order, token: &Token) -> Talk<Submitted> {
        match Submit::of(self, order, token) {
            Ok(submit) => Box::new(submit),
            Err(failure) => fail(failure),
        }
    }

    fn recover(&self, _order: &Order, _token: &Token) -> Talk<Recovered> {
        done(Recovered::Unknown)
    }

    fn poll(&self, order: &Order, native: &NativeId, token: &Token) -> Talk<Observation> {
        let redaction = Redaction::of(order, token);
        match self.about(Method::GET, native, token) {
            Ok(question) => ask(question, Repeat::Safe, move |answer| {
                observed(&answer, &redaction)
            }),
            Err(failure) => fail(failure),
        }
    }

    fn cancel(&self, order: &Order, native: &NativeId, token: &Token) -> Talk<CancelOutcome> {
        let redaction = Redaction::of(order, token);
        let look = self.about(Method::GET, native, token);
        let delete = self.about(Method::DELETE, native, token);
        match look.and_then(|look| Ok((look, delete?))) {
            Ok((look, delete)) => Box::new(Cancel::new(look, delete, redaction)),
            Err(failure) => fail(failure),
        }
    }
}

/// Whether the task was made. A whole answer that refuses is a refusal; one that names no task leaves it open, and so does
/// one of a server that broke off over it.
fn submitted(answer: &Response<Bytes>, redaction: &Redaction) -> Result<Submitted, Failure> {
    match answer.status() {
        status if status.is_success() => {
            let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
            let id = body.as_ref().and_then(|body| body.get("id")?.as_str());
            match (id.filter(|id| path::is_id(id)), &body) {
                (Some(id), _) => Ok(Submitted {
                    native: NativeId(id.to_owned()),
                }),
                // An error under a success, that tells of no task.
                (None, Some(body)) if body.get("error").is_some() && body.get("id").is_none() => {
                    Err(refused(answer, redaction))
                }
                _ => Err(left_open(unreadable(answer, redaction))),
            }
        }
        // Load shedding and overload come before the task is made; a failure inside may come after.
        StatusCode::INTERNAL_SERVER_ERROR
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::BAD_GATEWAY => Err(left_open(refused(answer, redaction))),
        _ => Err(refused(answer, redaction)),
    }
}

/// What a poll's answer shows.
fn observed(answer: &Response<Bytes>, redaction: &Redaction) -> Result<Observation, Failure> {
    match answer.status() {
        StatusCode::NOT_FOUND => Ok(Observation::Unknown),
        status if status.is_success() => match Task::read(answer.body()) {
            Some(task) => task.observe(redaction),
            None if complaint::says_error(answer) => Err(refused(answer, redaction)),
            None => Err(unreadable(answer, redaction)),
        },
        _ => Err(refused(answer, redaction)),
    }
}

/// Of a task whose charge it tells in credits: whether there is one.
fn billed(credits: Option<u64>) -> Billed {
    match credits {
        Some(0) => Billed::No,
        Some(_) => Billed::Yes,
        None => Billed::Unknown,
    }
}
