//! Claims: which due jobs a worker is handed.
//!
//! Where everything that is due can be claimed, it is. Where not, jobs that somebody has begun on and jobs that wait
//! share what the worker can take on. Among the first, those that are to be fetched go before the others; among those
//! that wait workspaces take turns, so that no flood of one stands before another. A job that waits for an account whose
//! places are all taken is passed by.

use std::sync::{Mutex, PoisonError};

use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::jobs;
use super::row::{JobRow, count, instant};
use crate::turns::{OpenAccount, Queues, Turns, Waiting};
use crate::{Intake, Places, StoreError};

const FETCHES: &str = "SELECT seq FROM jobs INDEXED BY jobs_fetching
    WHERE due_at IS NOT NULL AND state = 'fetching' AND claimable_at <= ?1 ORDER BY claimable_at LIMIT ?2";
const OTHERS: &str = "SELECT seq FROM jobs INDEXED BY jobs_not_fetching
    WHERE due_at IS NOT NULL AND state NOT IN ('accepted', 'fetching') AND claimable_at <= ?1
    ORDER BY claimable_at LIMIT ?2";
const WAITING: &str = "SELECT seq FROM jobs INDEXED BY jobs_waiting
    WHERE due_at IS NOT NULL AND state = 'accepted' AND account = ?3 AND claimable_at <= ?1
    ORDER BY claimable_at LIMIT ?2";
const WAITING_HERE: &str = "SELECT claimable_at, seq FROM jobs INDEXED BY jobs_by_turn
    WHERE due_at IS NOT NULL AND state = 'accepted' AND account = ?1 AND workspace = ?2 AND claimable_at <= ?3
    ORDER BY claimable_at LIMIT ?4";
const NEXT_ACCOUNT: &str = "SELECT account FROM jobs INDEXED BY jobs_waiting
    WHERE due_at IS NOT NULL AND state = 'accepted' AND account > ?1 ORDER BY account LIMIT 1";
const NEXT_WORKSPACE: &str = "SELECT workspace FROM jobs INDEXED BY jobs_by_turn
    WHERE due_at IS NOT NULL AND state = 'accepted' AND account = ?1 AND workspace > ?2
    ORDER BY workspace LIMIT 1";
const PLACES_TAKEN: &str = "SELECT count(*) FROM jobs INDEXED BY jobs_at_provider
    WHERE (state IN ('submitting', 'running') OR (state = 'accepted' AND lease_until IS NOT NULL))
        AND account = ?1 AND (state <> 'accepted' OR lease_until > ?2)";
const EARLIEST_FETCH: &str = "SELECT min(claimable_at) FROM jobs INDEXED BY jobs_fetching
    WHERE due_at IS NOT NULL AND state = 'fetching'";
const EARLIEST_OTHER: &str = "SELECT min(claimable_at) FROM jobs INDEXED BY jobs_not_fetching
    WHERE due_at IS NOT NULL AND state NOT IN ('accepted', 'fetching')";
const EARLIEST_WAITING: &str = "SELECT min(claimable_at) FROM jobs INDEXED BY jobs_waiting
    WHERE due_at IS NOT NULL AND state = 'accepted' AND account = ?1";
const END_LEASES_OF_FETCHES: &str =
    "UPDATE jobs INDEXED BY jobs_fetching SET lease_until = NULL, lease_by = NULL, strikes = strikes + 1
    WHERE due_at IS NOT NULL AND state = 'fetching' AND lease_until IS NOT NULL";
const END_LEASES_OF_OTHERS: &str =
    "UPDATE jobs INDEXED BY jobs_not_fetching SET lease_until = NULL, lease_by = NULL, strikes = strikes + 1
    WHERE due_at IS NOT NULL AND state NOT IN ('accepted', 'fetching') AND lease_until IS NOT NULL";
const END_LEASES_WAITING: &str =
    "UPDATE jobs INDEXED BY jobs_waiting SET lease_until = NULL, lease_by = NULL, strikes = strikes + 1
    WHERE due_at IS NOT NULL AND state = 'accepted' AND lease_until IS NOT NULL";
const TAKE: &str =
    "UPDATE jobs SET fence = fence + 1, strikes = strikes + (lease_until IS NOT NULL),
        lease_until = iif(state IN ('accepted', 'submitting'), ?3, ?2), lease_by = ?4
    WHERE seq = ?1
    RETURNING due_at, id, lease_until, strikes, parked_at IS NOT NULL";

/// Whose turn it is.
pub(super) type Turn = Mutex<Turns>;

/// A claim whose job is still a row.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) row: JobRow,
    pub(super) id: String,
    pub(super) lease_until: UnixTime,
    pub(super) strikes: u32,
    pub(super) parked: bool,
}

/// Takes leases on due jobs, longest due first.
pub(super) fn claim_due(
    db: &Connection,
    intake: &Intake,
    turn: &Turn,
) -> Result<Vec<Taken>, StoreError> {
    let most = intake.limit as usize;
    let mut turns = turn.lock().unwrap_or_else(PoisonError::into_inner);
    let open = open_accounts(db, intake.now, &intake.places)?;
    let fetches = begun(db, FETCHES, intake.now, most)?;
    let others = begun(db, OTHERS, intake.now, most)?;
    let mut chosen = Vec::new();
    for account in &open {
        let limit = account.room.min(most + 1);
        chosen.extend(waiting(db, &account.name, intake.now, limit)?);
    }
    let mut begun = most.min(fetches.len() + others.len());
    if begun + chosen.len() > most {
        let half = turns.half(most);
        begun = begun.min(half.max(most.saturating_sub(chosen.len())));
        if chosen.len() > most - begun {
            let left = most - begun;
            let queues = queues(db, intake.now, left, &turns, &open)?;
            chosen = turns.choose(queues, &open, left);
        }
    }
    let (of_fetches, of_others) = turns.begun(begun, fetches.len(), others.len());
    chosen.extend(&fetches[..of_fetches]);
    chosen.extend(&others[..of_others]);
    let mut take = db.prepare_cached(TAKE)?;
    let mut taken = chosen
        .iter()
        .map(|seq| {
            take.query_row(
                params![
                    seq,
                    intake.now.plus(intake.lease).millis(),
                    intake.now.plus(intake.submit_lease).millis(),
                    intake.by.0
                ],
                |row| {
                    Ok((
                        (row.get(0)?, row.get(1)?),
                        (row.get(2)?, row.get(3)?, row.get(4)?),
                    ))
                },
            )
        })
        .collect::<Result<Vec<((i64, String), (i64, u32, bool))>, _>>()?;
    taken.sort_unstable();
    taken
        .into_iter()
        .map(|((_, id), (lease_until, strikes, parked))| {
            Ok(Taken {
                row: jobs::load(db, &id)?,
                id,
                lease_until: instant(lease_until),
                strikes,
                parked,
            })
        })
        .collect()
}

/// The accounts some job waits for that have places left, and how many.
fn open_accounts(
    db: &Connection,
    now: UnixTime,
    places: &Places,
) -> Result<Vec<OpenAccount>, StoreError> {
    let mut next = db.prepare_cached(NEXT_ACCOUNT)?;
    let mut open = Vec::new();
    let mut account = String::new();
    while let Some(found) = next
        .query_row([&account], |row| row.get::<_, String>(0))
        .optional()?
    {
        account = found;
        let room = match places.get(&ProviderName(account.clone())) {
            None => usize::MAX,
            Some(most) => {
                let taken: i64 = db
                    .prepare_cached(PLACES_TAKEN)?
                    .query_row(params![account, now.millis()], |row| row.get(0))?;
                (*most as usize).saturating_sub(count("the places taken", taken)?)
            }
        };
        if room > 0 {
            open.push(OpenAccount {
                name: account.clone(),
                room,
            });
        }
    }
    Ok(open)
}

fn begun(db: &Connection, kind: &str, now: UnixTime, limit: usize) -> Result<Vec<i64>, StoreError> {
    let found = db
        .prepare_cached(kind)?
        .query_map(params![now.millis(), bound(limit)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

fn waiting(
    db: &Connection,
    account: &str,
    now: UnixTime,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let found = db
        .prepare_cached(WAITING)?
        .query_map(params![now.millis(), bound(limit), account], |row| {
            row.get(0)
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The waiting jobs of up to `most` workspaces for each open account, in the order of their turns.
fn queues(
    db: &Connection,
    now: UnixTime,
    most: usize,
    turns: &Turns,
    open: &[OpenAccount],
) -> Result<Queues<i64>, StoreError> {
    let mut queues = turns.queues();
    let last = turns.last();
    for (account, OpenAccount { name, room }) in open.iter().enumerate() {
        let mut seen = 0;
        let (mut at, mut wrapped) = (last.to_owned(), false);
        while seen < most {
            let next: Option<String> = db
                .prepare_cached(NEXT_WORKSPACE)?
                .query_row(params![name, at], |row| row.get(0))
                .optional()?;
            match next {
                None if wrapped => break,
                None => {
                    (at, wrapped) = (String::new(), true);
                    continue;
                }
                Some(workspace) if wrapped && workspace.as_str() > last => break,
                Some(workspace) => at = workspace,
            }
            let mut here = db.prepare_cached(WAITING_HERE)?;
            let limit = bound((*room).min(most));
            let mut rows = here.query(params![name, at, now.millis(), limit])?;
            let mut any = false;
            while let Some(row) = rows.next()? {
                any = true;
                let waiting = Waiting {
                    claimable_at: row.get(0)?,
                    job: row.get(1)?,
                    account,
                };
                queues.add(&at, waiting);
            }
            seen += usize::from(any);
        }
    }
    Ok(queues)
}

pub(super) fn next_due(
    db: &Connection,
    now: UnixTime,
    places: &Places,
) -> Result<Option<UnixTime>, StoreError> {
    let mut earliest: Option<i64> = None;
    for kind in [EARLIEST_FETCH, EARLIEST_OTHER] {
        let begun: Option<i64> = db.prepare_cached(kind)?.query_row([], |row| row.get(0))?;
        earliest = earliest.into_iter().chain(begun).min();
    }
    for account in open_accounts(db, now, places)? {
        let waiting: Option<i64> = db
            .prepare_cached(EARLIEST_WAITING)?
            .query_row([account.name], |row| row.get(0))?;
        earliest = earliest.into_iter().chain(waiting).min();
    }
    Ok(earliest.map(instant))
}

/// Ends every lease that keeps somebody from a job: whoever has the data directory to himself knows that
/// their holders are dead.
pub(super) fn end_all_leases(db: &Connection) -> Result<usize, StoreError> {
    let mut ended = 0;
    for kind in [
        END_LEASES_OF_FETCHES,
        END_LEASES_OF_OTHERS,
        END_LEASES_WAITING,
    ] {
        ended += db.execute(kind, [])?;
    }
    Ok(ended)
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
            (FETCHES, "INDEX jobs_fetching (claimable_at<?)"),
            (OTHERS, "INDEX jobs_not_fetching (claimable_at<?)"),
            (WAITING, "INDEX jobs_waiting (account=? AND claimable_at<?)"),
            (
                WAITING_HERE,
                "INDEX jobs_by_turn (account=? AND workspace=? AND claimable_at<?)",
            ),
            (
                NEXT_WORKSPACE,
                "INDEX jobs_by_turn (account=? AND workspace>?)",
            ),
            (NEXT_ACCOUNT, "INDEX jobs_waiting (account>?)"),
            (PLACES_TAKEN, "INDEX jobs_at_provider (account=?)"),
            (EARLIEST_FETCH, "SEARCH jobs USING INDEX jobs_fetching"),
            (EARLIEST_OTHER, "SEARCH jobs USING INDEX jobs_not_fetching"),
            (EARLIEST_WAITING, "INDEX jobs_waiting (account=?"),
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
        assert!(plan(END_LEASES_OF_FETCHES).contains("jobs_fetching"));
        assert!(plan(END_LEASES_OF_OTHERS).contains("jobs_not_fetching"));
        assert!(plan(END_LEASES_WAITING).contains("jobs_waiting"));
    }
}
