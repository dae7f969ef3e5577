//! Claims: which due jobs a worker is handed.
//!
//! Where everything that is due can be claimed, it is. Where not, jobs that somebody has begun on and jobs that wait
//! share the places, and among those that wait workspaces take turns, so that no flood of one stands before another.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::jobs;
use super::row::{JobRow, instant};
use crate::{StoreError, WorkerId};

const UNDER_WAY: &str = "SELECT seq FROM jobs INDEXED BY jobs_under_way
    WHERE due_at IS NOT NULL AND state <> 'accepted' AND claimable_at <= ?1 ORDER BY claimable_at LIMIT ?2";
const WAITING: &str = "SELECT seq FROM jobs INDEXED BY jobs_waiting
    WHERE due_at IS NOT NULL AND state = 'accepted' AND claimable_at <= ?1 ORDER BY claimable_at LIMIT ?2";
const WAITING_HERE: &str = "SELECT seq FROM jobs INDEXED BY jobs_by_turn
    WHERE due_at IS NOT NULL AND state = 'accepted' AND workspace = ?1 AND claimable_at <= ?2
    ORDER BY claimable_at LIMIT ?3";
const NEXT_WORKSPACE: &str = "SELECT workspace FROM jobs INDEXED BY jobs_by_turn
    WHERE due_at IS NOT NULL AND state = 'accepted' AND workspace > ?1 ORDER BY workspace LIMIT 1";
const EARLIEST_UNDER_WAY: &str = "SELECT min(claimable_at) FROM jobs INDEXED BY jobs_under_way
    WHERE due_at IS NOT NULL AND state <> 'accepted'";
const EARLIEST_WAITING: &str = "SELECT min(claimable_at) FROM jobs INDEXED BY jobs_waiting
    WHERE due_at IS NOT NULL AND state = 'accepted'";
const END_LEASES_UNDER_WAY: &str =
    "UPDATE jobs INDEXED BY jobs_under_way SET lease_until = NULL, lease_by = NULL
    WHERE due_at IS NOT NULL AND state <> 'accepted' AND lease_until IS NOT NULL";
const END_LEASES_WAITING: &str =
    "UPDATE jobs INDEXED BY jobs_waiting SET lease_until = NULL, lease_by = NULL
    WHERE due_at IS NOT NULL AND state = 'accepted' AND lease_until IS NOT NULL";
const TAKE: &str =
    "UPDATE jobs SET fence = fence + 1, lease_until = ?2, lease_by = ?3 WHERE seq = ?1
    RETURNING id, due_at";

/// Whose turn it is; lost with the process, which only begins the round anew.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    /// The workspace whose turn came last.
    workspace: String,
    /// Whether jobs that somebody has begun on had the last place that could not be halved.
    odd_place_was_for_begun: bool,
}

/// Takes leases on due jobs, longest due first.
pub(super) fn claim_due(
    db: &Connection,
    by: &WorkerId,
    now: UnixTime,
    lease: Duration,
    limit: u32,
    turn: &Turn,
) -> Result<Vec<JobRow>, StoreError> {
    let places = limit as usize;
    let under_way = seqs(db, UNDER_WAY, now, places)?;
    let mut chosen = seqs(db, WAITING, now, places + 1)?;
    if under_way.len() + chosen.len() > places {
        let half = turn.half(places);
        let begun = under_way
            .len()
            .min(half.max(places.saturating_sub(chosen.len())));
        if chosen.len() > places - begun {
            chosen = turn.choose(db, now, places - begun)?;
        }
        chosen.extend(&under_way[..begun]);
    } else {
        chosen.extend(under_way);
    }
    let mut take = db.prepare_cached(TAKE)?;
    let mut taken = chosen
        .iter()
        .map(|seq| {
            take.query_row(params![seq, now.plus(lease).millis(), by.0], |row| {
                Ok((row.get(1)?, row.get(0)?))
            })
        })
        .collect::<Result<Vec<(i64, String)>, _>>()?;
    taken.sort_unstable();
    taken.iter().map(|(_, id)| jobs::load(db, id)).collect()
}

fn seqs(
    db: &Connection,
    question: &str,
    now: UnixTime,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = db
        .prepare_cached(question)?
        .query_map(params![now.millis(), limit], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

impl Turn {
    /// How many of `places` are for jobs that somebody has begun on. A house that is full frees one place at a time:
    /// the odd one goes to either kind in turn, or one kind would have them all.
    fn half(&self, places: usize) -> usize {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.is_multiple_of(2) {
            return places / 2;
        }
        last.odd_place_was_for_begun = !last.odd_place_was_for_begun;
        places / 2 + usize::from(last.odd_place_was_for_begun)
    }

    /// One waiting job of each workspace after the last whose turn it was, then a second one of each, and so on.
    fn choose(
        &self,
        db: &Connection,
        now: UnixTime,
        places: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queues = queues(db, now, places, &last.workspace)?;
        let mut chosen = Vec::with_capacity(places);
        while chosen.len() < places && !queues.is_empty() {
            queues.retain_mut(|(workspace, queue)| {
                if chosen.len() < places
                    && let Some(seq) = queue.pop_front()
                {
                    chosen.push(seq);
                    last.workspace.clone_from(workspace);
                }
                !queue.is_empty()
            });
        }
        Ok(chosen)
    }
}

/// The waiting jobs of up to `places` workspaces, those behind `last` first.
fn queues(
    db: &Connection,
    now: UnixTime,
    places: usize,
    last: &str,
) -> Result<Vec<(String, VecDeque<i64>)>, StoreError> {
    let mut next = db.prepare_cached(NEXT_WORKSPACE)?;
    let mut here = db.prepare_cached(WAITING_HERE)?;
    let limit = i64::try_from(places).unwrap_or(i64::MAX);
    let mut queues = Vec::new();
    let (mut at, mut wrapped) = (last.to_owned(), false);
    while queues.len() < places {
        let found: Option<String> = next.query_row([&at], |row| row.get(0)).optional()?;
        match found {
            None if wrapped => break,
            None => {
                (at, wrapped) = (String::new(), true);
                continue;
            }
            Some(workspace) if wrapped && workspace.as_str() > last => break,
            Some(workspace) => at = workspace,
        }
        let queue: VecDeque<i64> = here
            .query_map(params![at, now.millis(), limit], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if !queue.is_empty() {
            queues.push((at.clone(), queue));
        }
    }
    Ok(queues)
}

pub(super) fn next_due(db: &Connection) -> Result<Option<UnixTime>, StoreError> {
    let earliest = |question: &str| -> Result<Option<i64>, StoreError> {
        Ok(db
            .prepare_cached(question)?
            .query_row([], |row| row.get(0))?)
    };
    let all = [earliest(EARLIEST_UNDER_WAY)?, earliest(EARLIEST_WAITING)?];
    Ok(all.into_iter().flatten().min().map(instant))
}

/// Ends every lease that keeps somebody from a job: whoever has the data directory to himself knows that
/// their holders are dead.
pub(super) fn end_all_leases(db: &Connection) -> Result<usize, StoreError> {
    Ok(db.execute(END_LEASES_UNDER_WAY, [])? + db.execute(END_LEASES_WAITING, [])?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The steps SQLite takes to answer `question`.
    pub(in super::super) fn plan(question: &str) -> String {
        let mut db = Connection::open_in_memory().unwrap();
        super::super::migrate::run(&mut db).unwrap();
        let mut explained = db
            .prepare(&format!("EXPLAIN QUERY PLAN {question}"))
            .unwrap();
        let count = explained.parameter_count();
        let steps: Vec<String> = explained
            .query_map(rusqlite::params_from_iter(vec![1; count]), |row| row.get(3))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        steps.join("; ")
    }

    #[test]
    fn choosing_reads_indexes_in_their_order() {
        for (question, expected) in [
            (UNDER_WAY, "INDEX jobs_under_way (claimable_at<?)"),
            (WAITING, "INDEX jobs_waiting (claimable_at<?)"),
            (
                WAITING_HERE,
                "INDEX jobs_by_turn (workspace=? AND claimable_at<?)",
            ),
            (NEXT_WORKSPACE, "INDEX jobs_by_turn (workspace>?)"),
            (EARLIEST_UNDER_WAY, "SEARCH jobs USING INDEX jobs_under_way"),
            (EARLIEST_WAITING, "SEARCH jobs USING INDEX jobs_waiting"),
        ] {
            let plan = plan(question);
            assert!(plan.contains(expected), "{question}: {plan}");
            assert!(
                !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
                "{question}: {plan}"
            );
        }
    }

    #[test]
    fn ending_all_leases_passes_finished_jobs_by() {
        assert!(plan(END_LEASES_UNDER_WAY).contains("jobs_under_way"));
        assert!(plan(END_LEASES_WAITING).contains("jobs_waiting"));
    }
}
