//! Faults for everybody, met before those that a job brought along.

use std::sync::atomic::AtomicU64;

use crate::fault::{ContentFault, PollFault, Script, Sequence, Spoilt, SubmitFault};
use crate::jobs::count;

/// Directives that hold until others take their place, and how many calls have met them.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) directives: Vec<String>,
    pub(crate) script: Script,
    submits: AtomicU64,
    polls: AtomicU64,
    contents: AtomicU64,
    deletes: AtomicU64,
}

impl Standing {
    pub(crate) fn new(directives: Vec<String>, script: Script) -> Self {
        Self {
            directives,
            script,
            ..Self::default()
        }
    }

    pub(crate) fn submit(&self) -> Option<SubmitFault> {
        next(&self.script.submit, &self.submits)
    }

    pub(crate) fn poll(&self) -> Option<PollFault> {
        next(&self.script.poll, &self.polls)
    }

    pub(crate) fn content(&self) -> Option<ContentFault> {
        next(&self.script.content, &self.contents)
    }

    pub(crate) fn delete(&self) -> Option<Spoilt> {
        next(&self.script.delete, &self.deletes)
    }
}

fn next<F: Clone>(faults: &Sequence<F>, calls: &AtomicU64) -> Option<F> {
    faults.at(count(calls)).cloned()
}
