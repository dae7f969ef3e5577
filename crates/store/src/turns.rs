//! Turns: which of the jobs that are due are taken on where more are due than fit.
//!
//! Of those that somebody has begun on, first the ones that are to be fetched. Of those that wait, one of each workspace
//! after the last whose turn it was, then a second one of each, and so on; of one workspace those that are longest due.
//! A job whose account has no place left is passed by.
//!
//! Not here: what is due, which each engine reads from its own indexes.

use std::collections::{BTreeMap, VecDeque};

/// While there are more fetches than fit, one in so many of their places is for the others that somebody has begun on. A
/// fetch that comes too late finds its links dead, a poll that comes late learns the same; but cancels and submits whose
/// answer was lost are among the others too, and everybody's progress, so they never wait for the last fetch.
const OTHERS_PART: usize = 4;

/// Whose turn it is; lost with the process, which only begins the round anew.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// The workspace whose turn came last.
    last: String,
    /// Whether jobs that somebody has begun on had the last turn that could not be halved.
    odd_one_was_for_begun: bool,
    /// The places that were shared since others than fetches had one of them.
    shared_since_others: usize,
}

/// An account that some job waits for, and how many more it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenAccount {
    pub(crate) name: String,
    pub(crate) room: usize,
}

/// A job that waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Waiting<Job> {
    pub(crate) claimable_at: i64,
    pub(crate) job: Job,
    /// Which of the open accounts it waits for.
    pub(crate) account: usize,
}

/// What waits, by workspace: those behind the last one first, then round from the beginning.
#[derive(Debug)]
pub(crate) struct Queues<Job> {
    last: String,
    by_workspace: BTreeMap<(bool, String), Vec<Waiting<Job>>>,
}

impl Turns {
    /// How many of `most` are for jobs that somebody has begun on. A worker that is full takes on one job at a time:
    /// the odd one goes to either kind in turn, or one kind would have them all.
    pub(crate) fn half(&mut self, most: usize) -> usize {
        if most.is_multiple_of(2) {
            return most / 2;
        }
        self.odd_one_was_for_begun = !self.odd_one_was_for_begun;
        most / 2 + usize::from(self.odd_one_was_for_begun)
    }

    /// How many of `most` are for the jobs that are to be fetched, and how many for the others that somebody has begun on.
    /// Shares of places are added up from claim to claim: many claims are for one place.
    pub(crate) fn begun(&mut self, most: usize, fetches: usize, others: usize) -> (usize, usize) {
        if fetches + others <= most {
            return (fetches, others);
        }
        let shared = self.shared_since_others + most;
        self.shared_since_others = shared % OTHERS_PART;
        let left_over = most.saturating_sub(fetches);
        let others = others.min(left_over.max(shared / OTHERS_PART));
        (fetches.min(most - others), others)
    }

    /// The workspace behind which the round goes on.
    pub(crate) fn last(&self) -> &str {
        &self.last
    }

    pub(crate) fn queues<Job>(&self) -> Queues<Job> {
        Queues {
            last: self.last.clone(),
            by_workspace: BTreeMap::new(),
        }
    }

    /// Chooses up to `most` jobs, workspace by workspace.
    pub(crate) fn choose<Job: Ord>(
        &mut self,
        queues: Queues<Job>,
        open: &[OpenAccount],
        most: usize,
    ) -> Vec<Job> {
        let mut room: Vec<usize> = open.iter().map(|account| account.room).collect();
        let mut queues: Vec<(String, VecDeque<Waiting<Job>>)> = queues
            .by_workspace
            .into_iter()
            .map(|((_, workspace), mut waiting)| {
                waiting.sort_unstable();
                (workspace, waiting.into())
            })
            .collect();
        let mut chosen = Vec::with_capacity(most);
        while chosen.len() < most && !queues.is_empty() {
            queues.retain_mut(|(workspace, queue)| {
                while chosen.len() < most
                    && let Some(waiting) = queue.pop_front()
                {
                    let room = &mut room[waiting.account];
                    if *room > 0 {
                        *room -= 1;
                        chosen.push(waiting.job);
                        self.last.clone_from(workspace);
                        break;
                    }
                }
                !queue.is_empty()
            });
        }
        chosen
    }
}

impl<Job> Queues<Job> {
    pub(crate) fn add(&mut self, workspace: &str, waiting: Waiting<Job>) {
        let comes_again = workspace <= self.last.as_str();
        self.by_workspace
            .entry((comes_again, workspace.to_owned()))
            .or_default()
            .push(waiting);
    }
}
