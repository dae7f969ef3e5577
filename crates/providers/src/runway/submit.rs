//! Making a task: inputs that are too large for a message are uploaded first, one after the other.
//!
//! An upload asks for a place, then sends the file there: a store's address out of an answer, which is given no credential.
//! Nothing is bought until the last message, so those before it may be sent again, and fail without doubt.

use std::collections::VecDeque;

use bytes::Bytes;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::provider::{Body, Conversation, Order, Repeat, Step, Submitted, Token};
use http::{HeaderValue, Method, Request, Response, header};
use serde_json::{Value, json};
use url::Url;

use super::complaint::refused;
use super::model::From;
use super::order;
use super::{Runway, submitted};
use crate::form::Form;
use crate::redaction::Redaction;
use crate::unclear::unreadable;

const MOST_FIELDS: usize = 64;

pub(super) struct Submit {
    adapter: Runway,
    order: Order,
    token: Token,
    redaction: Redaction,
    from: From,
    /// Inputs that are still to be uploaded, and the addresses of those that were.
    waiting: VecDeque<usize>,
    uploaded: Vec<Option<String>>,
    turn: Turn,
}

enum Turn {
    Begin,
    /// A place for this input was asked for.
    Place(usize),
    /// This input was sent, and is to have this address.
    File(usize, String),
    Task,
}

/// Where a file is to be sent, and what it is called then.
struct Place {
    url: Url,
    fields: Vec<(String, String)>,
    address: String,
}

impl Submit {
    /// # Errors
    /// Where no task can be made of the order.
    pub(super) fn of(adapter: &Runway, order: &Order, token: &Token) -> Result<Self, Failure> {
        let inputs = &order.request.inputs;
        // What was admitted before a rule was tightened.
        let from = order::check(order.proposal()).map_err(|refusal| {
            Failure::permanent(FailureCode::InvalidRequest, refusal.to_string())
        })?;
        Ok(Self {
            from,
            waiting: (0..inputs.len())
                .filter(|at| order::wants_upload(&inputs[*at]))
                .collect(),
            uploaded: vec![None; inputs.len()],
            redaction: Redaction::of(order, token),
            adapter: adapter.clone(),
            order: order.clone(),
            token: token.clone(),
            turn: Turn::Begin,
        })
    }

    /// The next upload, and after the last one the task itself.
    fn go_on(&mut self) -> Step<Submitted> {
        let (turn, message, repeat) = match self.waiting.pop_front() {
            Some(at) => {
                let name = format!("input-{at}.{}", extension(&self.order, at));
                let body = json!({"filename": name, "type": "ephemeral"}).to_string();
                let message = self.adapter.post("/v1/uploads", &self.token, body.into());
                (Turn::Place(at), message, Repeat::Safe)
            }
            None => {
                let body = order::task(&self.order, self.from, &self.uploaded);
                let message = self.adapter.post(self.from.path(), &self.token, body);
                (Turn::Task, message, Repeat::MayBuyTwice)
            }
        };
        self.turn = turn;
        match message {
            Ok(message) => Step::Send { message, repeat },
            Err(failure) => Step::Failed(failure),
        }
    }

    fn placed(&mut self, at: usize, answer: &Response<Bytes>) -> Step<Submitted> {
        if !answer.status().is_success() {
            return Step::Failed(refused(answer, &self.redaction));
        }
        let Some(place) = Place::read(answer.body()) else {
            return Step::Failed(unreadable(answer, &self.redaction).billed(Billed::No));
        };
        let message = self.file(at, &place);
        self.turn = Turn::File(at, place.address);
        match message {
            Some(message) => Step::Send {
                message,
                repeat: Repeat::Safe,
            },
            None => Step::Failed(unreadable(answer, &self.redaction).billed(Billed::No)),
        }
    }

    /// The fields come before the file, as stores want them.
    fn file(&self, at: usize, place: &Place) -> Option<Request<Body>> {
        let mut form = Form::new(&self.order.attempt_key);
        for (name, value) in &place.fields {
            form.field(name, value);
        }
        let name = format!("input-{at}.{}", extension(&self.order, at));
        let mime_type = &self.order.request.inputs[at].mime_type;
        form.file("file", &name, mime_type, at);
        let content_type = HeaderValue::from_str(&form.content_type()).ok()?;
        Request::builder()
            .method(Method::POST)
            .uri(place.url.as_str())
            .header(header::CONTENT_TYPE, content_type)
            .body(form.into_body())
            .ok()
    }

    fn sent(&mut self, at: usize, address: String, answer: &Response<Bytes>) -> Step<Submitted> {
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            // The store is not the vendor: its status says nothing of the key or the request.
            let failure = Failure::passing(
                FailureCode::ProviderError,
                format!("the provider's store answered an upload with status {status}"),
            );
            return Step::Failed(failure.from_provider(Some(status), None, None));
        }
        self.uploaded[at] = Some(address);
        self.go_on()
    }
}

impl Conversation<Submitted> for Submit {
    fn next(&mut self, answer: Option<Response<Bytes>>) -> Step<Submitted> {
        match (std::mem::replace(&mut self.turn, Turn::Begin), answer) {
            (Turn::Place(at), Some(answer)) => self.placed(at, &answer),
            (Turn::File(at, address), Some(answer)) => self.sent(at, address, &answer),
            (Turn::Task, Some(answer)) => match submitted(&answer, &self.redaction) {
                Ok(submitted) => Step::Done(submitted),
                Err(failure) => Step::Failed(failure),
            },
            (_, _) => self.go_on(),
        }
    }
}

impl Place {
    /// `{"uploadUrl": …, "fields": {…}, "runwayUri": "runway://…"}`.
    fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let url = Url::parse(body.get("uploadUrl")?.as_str()?).ok()?;
        let address = body.get("runwayUri")?.as_str()?;
        let fields = body.get("fields")?.as_object()?;
        let is_web = matches!(url.scheme(), "https" | "http") && url.has_host();
        if !is_web || !address.starts_with("runway://") || fields.len() > MOST_FIELDS {
            return None;
        }
        let field =
            |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        Some(Self {
            url,
            fields: fields.iter().map(field).collect::<Option<_>>()?,
            address: address.to_owned(),
        })
    }
}

fn extension(order: &Order, at: usize) -> &'static str {
    match order.request.inputs[at].mime_type.as_str() {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        "video/mp4" => "mp4",
        "video/quicktime" => "mov",
        "video/webm" => "webm",
        "audio/mpeg" => "mp3",
        "audio/wav" | "audio/x-wav" => "wav",
        "audio/mp4" => "m4a",
        "audio/aac" => "aac",
        _ => "bin",
    }
}
