//! Stopping a job: the dialect has no word for it but `DELETE`, which removes a finished one just as well.
//!
//! So the job is looked at first: what has ended is left alone, and the next poll tells what it came to. vLLM-Omni stops
//! the work; SGLang forgets the job and works on, which is as good as stopped for whoever waits for it; the LiteLLM proxy
//! has no such route.

use bytes::Bytes;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::provider::{
    Body, CancelOutcome, Conversation, NativeId, Observation, Order, Repeat, Step, Token, Usage,
};
use http::{Method, Request, Response};
use serde_json::Value;

use super::OpenAiCompatible;
use super::flavour::Flavour;
use super::refusal::refused;
use super::video::Video;
use crate::redaction::Redaction;
use crate::retry_after;
use crate::unclear::unreadable;

/// vLLM-Omni waits two seconds for the work to stop, and answers 409 where that was not enough. So often it is asked.
const MOST_DELETES: u32 = 3;

pub(super) struct Cancel {
    adapter: OpenAiCompatible,
    order: Order,
    native: NativeId,
    redaction: Redaction,
    look: Request<Body>,
    delete: Request<Body>,
    turn: Turn,
}

enum Turn {
    Begin,
    Look,
    /// This many were sent, to a server that speaks so.
    Delete(u32, Flavour),
}

impl Cancel {
    pub(super) fn of(
        adapter: &OpenAiCompatible,
        order: &Order,
        native: &NativeId,
        token: &Token,
    ) -> Result<Self, Failure> {
        Ok(Self {
            look: adapter.about(Method::GET, native, token)?,
            delete: adapter.about(Method::DELETE, native, token)?,
            adapter: adapter.clone(),
            order: order.clone(),
            native: native.clone(),
            redaction: Redaction::of(order, token),
            turn: Turn::Begin,
        })
    }

    fn looked(&mut self, answer: &Response<Bytes>) -> Step<CancelOutcome> {
        let video = Video::read(answer);
        let flavour = self.adapter.flavour_of(&self.native, video.as_ref());
        let seen = self
            .adapter
            .observe(&self.order, &self.native, answer, &self.redaction);
        match seen {
            Ok(Observation::Running { .. }) if flavour.has_delete() => self.delete(1, flavour),
            Ok(Observation::Running { .. }) => Step::Done(CancelOutcome::Unsupported),
            Ok(Observation::Unknown) if flavour.keeps_jobs_itself() => {
                Step::Done(CancelOutcome::Cancelled(Billed::No, Usage::default()))
            }
            Ok(_) => Step::Done(CancelOutcome::TooLate),
            Err(failure) => Step::Failed(failure),
        }
    }

    fn delete(&mut self, times: u32, flavour: Flavour) -> Step<CancelOutcome> {
        self.turn = Turn::Delete(times, flavour);
        Step::Send {
            message: self.delete.clone(),
            // A second one finds nothing left to remove.
            repeat: Repeat::Safe,
        }
    }

    fn deleted(
        &mut self,
        answer: &Response<Bytes>,
        times: u32,
        flavour: Flavour,
    ) -> Step<CancelOutcome> {
        let stopped = CancelOutcome::Cancelled(flavour.bills_unfinished(), Usage::default());
        match answer.status().as_u16() {
            204 => Step::Done(stopped),
            200..300 => match says_deleted(answer) {
                Some(true) => Step::Done(stopped),
                Some(false) => Step::Done(CancelOutcome::TooLate),
                None => Step::Failed(unreadable(answer, &self.redaction)),
            },
            // It ran a moment ago: an answer to the message before this one was lost, or it has just ended.
            404 | 410 if flavour.keeps_jobs_itself() => Step::Done(stopped),
            404 | 405 | 410 | 501 => Step::Done(CancelOutcome::Unsupported),
            409 if times < MOST_DELETES => self.delete(times + 1, flavour),
            409 => Step::Failed(
                Failure::passing(
                    FailureCode::ProviderError,
                    "the provider has not stopped the job yet",
                )
                .retry_after(retry_after::read(answer.headers())),
            ),
            _ => Step::Failed(refused(answer, &self.redaction)),
        }
    }
}

impl Conversation<CancelOutcome> for Cancel {
    fn next(&mut self, answer: Option<Response<Bytes>>) -> Step<CancelOutcome> {
        match (&self.turn, answer) {
            (Turn::Look, Some(answer)) => self.looked(&answer),
            (Turn::Delete(times, flavour), Some(answer)) => {
                let (times, flavour) = (*times, *flavour);
                self.deleted(&answer, times, flavour)
            }
            (_, _) => {
                self.turn = Turn::Look;
                Step::Send {
                    message: self.look.clone(),
                    repeat: Repeat::Safe,
                }
            }
        }
    }
}

/// `{"deleted": true}`, or SGLang's object with a status of its own. `None` where it says neither.
fn says_deleted(answer: &Response<Bytes>) -> Option<bool> {
    let Value::Object(body) = serde_json::from_slice(answer.body()).ok()? else {
        return None;
    };
    match body.get("deleted").and_then(Value::as_bool) {
        Some(deleted) => Some(deleted),
        None => Video::of(&body)
            .status
            .map(|status| matches!(status.as_str(), "deleted" | "cancelled" | "canceled")),
    }
}
