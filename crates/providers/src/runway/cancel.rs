//! Stopping a task: a `DELETE`, which removes a finished one with its outputs just as well. So the task is looked at first:
//! what has ended is left alone, and the next poll tells what it came to.

use bytes::Bytes;
use filmgate_core::failure::{Billed, Failure};
use filmgate_core::provider::{Body, CancelOutcome, Conversation, Repeat, Step, Usage};
use http::{Request, Response, StatusCode};

use super::complaint::refused;
use super::task::Task;
use crate::redaction::Redaction;
use crate::unclear::unreadable;

pub(super) struct Cancel {
    look: Request<Body>,
    delete: Request<Body>,
    redaction: Redaction,
    turn: Turn,
}

enum Turn {
    Begin,
    Look,
    /// What it is charged if that is heard.
    Delete(Billed, Usage),
}

impl Cancel {
    pub(super) fn new(look: Request<Body>, delete: Request<Body>, redaction: Redaction) -> Self {
        Self {
            look,
            delete,
            redaction,
            turn: Turn::Begin,
        }
    }

    fn looked(&mut self, answer: &Response<Bytes>) -> Step<CancelOutcome> {
        if answer.status() == StatusCode::NOT_FOUND {
            // A delete of ours before this one was heard, and its answer lost.
            return Step::Done(CancelOutcome::Cancelled(Billed::Unknown, Usage::default()));
        }
        if !answer.status().is_success() {
            return Step::Failed(refused(answer, &self.redaction));
        }
        let Some(task) = Task::read(answer.body()) else {
            return Step::Failed(self.unreadable(answer));
        };
        if !task.is_under_way() {
            return Step::Done(CancelOutcome::TooLate);
        }
        let (billed, usage) = task.cancelled_now();
        self.turn = Turn::Delete(billed, usage);
        Step::Send {
            message: self.delete.clone(),
            // A second one finds nothing left to remove.
            repeat: Repeat::Safe,
        }
    }

    fn deleted(
        &self,
        answer: &Response<Bytes>,
        billed: Billed,
        usage: Usage,
    ) -> Step<CancelOutcome> {
        match answer.status() {
            status if status.is_success() => Step::Done(CancelOutcome::Cancelled(billed, usage)),
            StatusCode::NOT_FOUND => Step::Done(CancelOutcome::Cancelled(billed, usage)),
            _ => Step::Failed(refused(answer, &self.redaction)),
        }
    }

    fn unreadable(&self, answer: &Response<Bytes>) -> Failure {
        unreadable(answer, &self.redaction)
    }
}

impl Conversation<CancelOutcome> for Cancel {
    fn next(&mut self, answer: Option<Response<Bytes>>) -> Step<CancelOutcome> {
        match (&self.turn, answer) {
            (Turn::Look, Some(answer)) => self.looked(&answer),
            (Turn::Delete(billed, usage), Some(answer)) => self.deleted(&answer, *billed, *usage),
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
