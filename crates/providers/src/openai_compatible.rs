//! Servers that speak OpenAI's `/v1/videos`: vLLM-Omni, SGLang, the LiteLLM proxy, OpenAI's own, other gateways.
//!
//! They agree on the words and differ in what stands behind them; [`Flavour`] has the differences. None of them takes an
//! idempotency key or finds a job by an id of ours, so a submit whose answer is lost is never sent again.
//!
//! Not here: what a model can do (the operator declares it), LocalAI (its answer to the create is the video itself).

mod cancel;
mod complaint;
mod flavour;
mod passthrough;

mod refusal;

mod submit;
mod video;

#[cfg(test)]
mod tests;

pub use flavour::Flavour;
pub use passthrough::objection as passthrough_objection;

use std::collections::BTreeSet;

use bytes::Bytes;
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::provider::{
    Body, Callback, CancelOutcome, NativeId, NotACallback, Nudge, Observation, Order, Proposal,
    Protocol, Provider, Recovered, Repeat, SubmitRepeat, Submitted, Talk, Token, ask, done, fail,
};
use filmgate_core::request::{ProviderName, Refusal};
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;
use url::Url;

use self::cancel::Cancel;
use self::refusal::refused;
use self::video::Video;
use crate::path;
use crate::redaction::Redaction;
use crate::unclear::unreadable;

/// The adapter of one such server.
#[derive(Debug, Clone)]
pub struct OpenAiCompatible {
    name: ProviderName,
    /// Without a slash at its end.
    base: String,
    /// `None`: told apart by what the server answers.
    flavour: Option<Flavour>,
    /// Its own ids of the models whose sound can be switched on and off.
    sound_switches: BTreeSet<String>,
    calls_back: bool,
}

impl OpenAiCompatible {
    /// For the server at `base_url`, of which [`check_base_url`] has nothing to say.
    pub fn new(name: ProviderName, base_url: &Url, flavour: Option<Flavour>) -> Self {
        Self {
            name,
            base: base_url.as_str().trim_end_matches('/').to_owned(),
            flavour,
            sound_switches: BTreeSet::new(),
            calls_back: false,
        }
    }

    /// One that is told where to call when a job has moved: by the field `callback_url`, which no server of this dialect has
    /// of its own accord.
    #[must_use]
    pub fn that_calls_back(self, calls_back: bool) -> Self {
        Self { calls_back, ..self }
    }

    /// Names the models that are told whether to make sound; the others are never sent a word of it.
    #[must_use]
    pub fn with_sound_switches(self, native_models: impl IntoIterator<Item = String>) -> Self {
        Self {
            sound_switches: native_models.into_iter().collect(),
            ..self
        }
    }

    /// A message about one job. Fails on a base that is no address.
    fn about(
        &self,
        method: Method,
        native: &NativeId,
        token: &Token,
    ) -> Result<Request<Body>, Failure> {
        let id = path::step(native);
        self.message(method, &format!("/videos/{id}"), token, Body::empty())
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

    /// Where an output is when the server itself hands it over. `variant` counts the outputs of a job that has several;
    /// without it the first one comes, everywhere.
    fn content(&self, native: &NativeId, variant: Option<u32>) -> String {
        let id = path::step(native);
        let query = variant.map_or_else(String::new, |index| format!("?variant={index}"));
        format!("{}/videos/{id}/content{query}", self.base)
    }

    /// Who speaks: as configured, else as the answer shows.
    fn flavour_of(&self, native: &NativeId, video: Option<&Video>) -> Flavour {
        self.flavour
            .unwrap_or_else(|| Flavour::told_by(&native.0, video))
    }

    /// What a poll's answer shows.
    fn observe(
        &self,
        order: &Order,
        native: &NativeId,
        answer: &Response<Bytes>,
        redaction: &Redaction,
    ) -> Result<Observation, Failure> {
        // A job that failed may come under the status of its failure: the body is looked at before the status.
        if let Some(video) = Video::read(answer) {
            return self.told_by(order, native, &video, answer.status(), redaction);
        }
        match answer.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Observation::Unknown),
            status if status.is_success() => Err(unreadable(answer, redaction)),
            _ => Err(refused(answer, redaction)),
        }
    }
}

impl Provider for OpenAiCompatible {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn protocol(&self) -> Protocol {
        Protocol {
            submit_repeat: SubmitRepeat::Never,
            can_cancel: self.flavour != Some(Flavour::LiteLlm),
            calls_back: self.calls_back,
        }
    }

    fn check(&self, proposal: Proposal<'_>) -> Result<(), Refusal> {
        if proposal.request.prompt.trim().is_empty() {
            return Err(Refusal {
                field: "prompt".to_owned(),
                sent: "nothing".to_owned(),
                allowed: "a text; this provider needs one beside an image too".to_owned(),
            });
        }
        passthrough::check(&proposal.request.provider_params)
    }

    fn submit(&self, order: &Order, token: &Token) -> Talk<Submitted> {
        let redaction = Redaction::of(order, token);
        match self.create(order, token) {
            Ok(message) => ask(message, Repeat::MayBuyTwice, move |answer| {
                submit::read(&answer, &redaction)
            }),
            Err(failure) => fail(failure),
        }
    }

    fn recover(&self, _order: &Order, _token: &Token) -> Talk<Recovered> {
        done(Recovered::Unknown)
    }

    fn poll(&self, order: &Order, native: &NativeId, token: &Token) -> Talk<Observation> {
        let redaction = Redaction::of(order, token);
        match self.about(Method::GET, native, token) {
            Ok(question) => {
                let (adapter, order, native) = (self.clone(), order.clone(), native.clone());
                ask(question, Repeat::Safe, move |answer| {
                    adapter.observe(&order, &native, &answer, &redaction)
                })
            }
            Err(failure) => fail(failure),
        }
    }

    /// Its body is the job, as a poll would show it.
    fn read_callback(&self, message: &Callback) -> Result<Nudge, NotACallback> {
        let body: Value = serde_json::from_slice(&message.body).map_err(|_| NotACallback)?;
        let id = body.get("id").and_then(Value::as_str).ok_or(NotACallback)?;
        Ok(Nudge {
            native: Some(NativeId(id.to_owned())),
        })
    }

    fn cancel(&self, order: &Order, native: &NativeId, token: &Token) -> Talk<CancelOutcome> {
        match Cancel::of(self, order, native, token) {
            Ok(cancel) => Box::new(cancel),
            Err(failure) => fail(failure),
        }
    }
}

/// What keeps `url` from being the base of such a server's addresses.
pub fn check_base_url(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("an http or https address with a host is allowed");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a credential in an address is not allowed; api_key is the place for it");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an address without a query and a fragment is allowed");
    }
    Ok(())
}
