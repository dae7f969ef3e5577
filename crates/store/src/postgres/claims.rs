//! Claims: which due jobs a worker is handed.
//!
//! Where everything that is due can be claimed, it is. Where not, jobs that somebody has begun on and jobs that wait
//! share the places, and among those that wait workspaces take turns, so that no flood of one stands before another.
//! Processes that claim at the same time pass over what another is just taking.

use std::collections::VecDeque;
use std::time::Duration;

use filmgate_core::time::UnixTime;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use tokio::sync::Mutex;

use super::row::{instant, job};
use super::sql;
use crate::{Claim, StoreError, WorkerId};

/// How often one looks again because another process took what was chosen.
const MOST_LOOKS: u32 = 4;

/// Whose turn it is; lost with the process, which only begins the round anew. One claim of a process at a time.
#[derive(Debug, Default)]
pub(super) struct Turn(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    /// The workspace whose turn came last.
    workspace: String,
    /// Whether jobs that somebody has begun on had the last place that could not be halved.
    odd_place_was_for_begun: bool,
}

/// What is to be taken.
#[derive(Debug, Default)]
struct Choice {
    /// How many of the jobs that somebody has begun on.
    begun: usize,
    /// How many of those that wait, whosever they are.
    waiting: usize,
    /// Further ones that wait, by whose turn it is.
    in_turn: Vec<String>,
}

impl Choice {
    fn len(&self) -> usize {
        self.begun + self.waiting + self.in_turn.len()
    }
}

/// Takes leases on due jobs, longest due first.
pub(super) async fn claim_due(
    db: &mut PgConnection,
    by: &WorkerId,
    now: UnixTime,
    lease: Duration,
    limit: u32,
    turn: &Turn,
) -> Result<Vec<Claim>, StoreError> {
    let mut last = turn.0.lock().await;
    let lease_until = now.plus(lease);
    let mut taken: Vec<(i64, Claim)> = Vec::new();
    for _ in 0..MOST_LOOKS {
        let places = limit as usize - taken.len();
        let choice = last.choose(db, now, places).await?;
        if choice.len() == 0 {
            break;
        }
        let rows = sqlx::query(sql!("claims/take"))
            .bind(now.millis())
            .bind(as_limit(choice.begun))
            .bind(as_limit(choice.waiting))
            .bind(&choice.in_turn)
            .bind(lease_until.millis())
            .bind(&by.0)
            .fetch_all(&mut *db)
            .await?;
        let all = rows.len() == choice.len();
        for row in rows {
            taken.push(read(&row, lease_until)?);
        }
        if all {
            break;
        }
    }
    taken.sort_by_key(|(due_at, claim)| (*due_at, claim.job.admission.id));
    Ok(taken.into_iter().map(|(_, claim)| claim).collect())
}

fn read(row: &PgRow, lease_until: UnixTime) -> Result<(i64, Claim), StoreError> {
    let claim = Claim {
        job: job(row)?,
        lease_until,
    };
    Ok((row.try_get(4)?, claim))
}

fn as_limit(places: usize) -> i64 {
    i64::try_from(places).unwrap_or(i64::MAX)
}

impl Last {
    async fn choose(
        &mut self,
        db: &mut PgConnection,
        now: UnixTime,
        places: usize,
    ) -> Result<Choice, StoreError> {
        let (under_way, waiting): (i64, i64) = sqlx::query_as(sql!("claims/count"))
            .bind(now.millis())
            .bind(as_limit(places))
            .fetch_one(&mut *db)
            .await?;
        let counted = |count: i64| usize::try_from(count).unwrap_or(0);
        let (under_way, waiting) = (counted(under_way), counted(waiting));
        if under_way + waiting <= places {
            return Ok(Choice {
                begun: under_way,
                waiting,
                in_turn: Vec::new(),
            });
        }
        let half = self.half(places);
        let begun = under_way.min(half.max(places.saturating_sub(waiting)));
        let left = places - begun;
        if waiting <= left {
            return Ok(Choice {
                begun,
                waiting,
                in_turn: Vec::new(),
            });
        }
        Ok(Choice {
            begun,
            waiting: 0,
            in_turn: self.take_turns(db, now, left).await?,
        })
    }

    /// How many of `places` are for jobs that somebody has begun on. A house that is full frees one place at a time:
    /// the odd one goes to either kind in turn, or one kind would have them all.
    fn half(&mut self, places: usize) -> usize {
        if places.is_multiple_of(2) {
            return places / 2;
        }
        self.odd_place_was_for_begun = !self.odd_place_was_for_begun;
        places / 2 + usize::from(self.odd_place_was_for_begun)
    }

    /// One waiting job of each workspace after the last whose turn it was, then a second one of each, and so on.
    async fn take_turns(
        &mut self,
        db: &mut PgConnection,
        now: UnixTime,
        places: usize,
    ) -> Result<Vec<String>, StoreError> {
        let mut queues = queues(&mut *db, now, places, &self.workspace, None).await?;
        if queues.len() < places {
            let left = places - queues.len();
            let wrapped = queues_from_the_start(db, now, left, &self.workspace).await?;
            queues.extend(wrapped);
        }
        let mut chosen = Vec::with_capacity(places);
        while chosen.len() < places && !queues.is_empty() {
            queues.retain_mut(|(workspace, queue)| {
                if chosen.len() < places
                    && let Some(job) = queue.pop_front()
                {
                    chosen.push(job);
                    self.workspace.clone_from(workspace);
                }
                !queue.is_empty()
            });
        }
        Ok(chosen)
    }
}

type Queue = (String, VecDeque<String>);

/// The waiting jobs of up to `places` workspaces behind `after`, up to and including `last`, in the workspaces' order.
async fn queues(
    db: &mut PgConnection,
    now: UnixTime,
    places: usize,
    after: &str,
    last: Option<&str>,
) -> Result<Vec<Queue>, StoreError> {
    let rows: Vec<(String, Vec<String>)> = sqlx::query_as(sql!("claims/round"))
        .bind(after)
        .bind(now.millis())
        .bind(as_limit(places))
        .bind(last)
        .fetch_all(db)
        .await?;
    let queue = |(workspace, jobs): (String, Vec<String>)| (workspace, jobs.into());
    Ok(rows.into_iter().map(queue).collect())
}

/// Those of the workspaces whose turn comes after the last one's has.
async fn queues_from_the_start(
    db: &mut PgConnection,
    now: UnixTime,
    places: usize,
    last: &str,
) -> Result<Vec<Queue>, StoreError> {
    if last.is_empty() {
        // Nobody's turn has come yet: there is nobody before him.
        return Ok(Vec::new());
    }
    queues(db, now, places, "", Some(last)).await
}

pub(super) async fn next_due(db: &mut PgConnection) -> Result<Option<UnixTime>, StoreError> {
    let earliest: Option<i64> = sqlx::query_scalar(sql!("claims/next_due"))
        .fetch_one(db)
        .await?;
    Ok(earliest.map(instant))
}
