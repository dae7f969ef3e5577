//! Work on jobs: claims, leases and the commit of transitions.
//!
//! No other file changes a job's state. Correctness rests on `fence` and `version`; the lease only keeps two
//! workers from doing the same work at the same time.

use std::time::Duration;

use filmgate_core::id::VideoId;
use filmgate_core::job::{Life, Transition};
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{self, JobRow, instant, stored, to_json};
use super::{attempts, jobs, ledger, objects, outbox, sql, timeline};
use crate::{AfterCommit, Basis, StoreError, WorkerId};

const END_ALL_LEASES: &str = "UPDATE jobs SET lease_until = NULL, lease_by = NULL
    WHERE due_at IS NOT NULL AND lease_until IS NOT NULL";

/// A transition with its texts written out, so that the writer's thread only stores them.
#[derive(Debug)]
pub(super) struct Change {
    id: VideoId,
    basis: Basis,
    transition: Transition,
    life: String,
}

/// What came of it; a job to be reloaded is still a row.
#[derive(Debug)]
pub(super) enum Outcome {
    Committed { version: u64 },
    Stale(JobRow),
    Lost,
}

impl Change {
    pub(super) fn encode(
        id: VideoId,
        basis: Basis,
        transition: Transition,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            id,
            basis,
            life: to_json(&transition.life)?,
            transition,
        })
    }

    pub(super) fn run(&self, db: &Connection) -> Result<Outcome, StoreError> {
        let id = self.id.to_string();
        let life = &self.transition.life;
        let (seen, fence, end_lease) = match self.basis {
            Basis::Claim {
                fence,
                version,
                after,
            } => (version, Some(fence), after == AfterCommit::EndLease),
            Basis::Seen { version } => (version, None, false),
        };
        let workspace: Option<String> = db
            .prepare_cached(sql!("work/commit"))?
            .query_row(
                params![
                    id,
                    stored(seen),
                    fence.map(stored),
                    life.state.name(),
                    self.life,
                    life.due_at.map(UnixTime::millis),
                    life.ended_at.map(UnixTime::millis),
                    newly_shown_provider(life),
                    end_lease,
                    life.status().as_str(),
                ],
                |row| row.get(0),
            )
            .optional()?;
        let Some(workspace) = workspace else {
            return self.refused(db, &id, fence);
        };
        let workspace = row::id("a job's workspace", &workspace)?;
        let version = seen + 1;
        if !self.transition.postings.is_empty() {
            let at = self.at()?;
            for posting in &self.transition.postings {
                ledger::post(db, workspace, Some(&id), posting, at, None)?;
            }
        }
        if let Some(attempt) = &self.transition.attempt {
            attempts::keep(db, &id, attempt)?;
        }
        if let Some(entry) = &self.transition.timeline {
            timeline::append(db, &id, stored(version), entry)?;
        }
        outbox::append(db, &id, stored(version), &self.transition.notices)?;
        objects::name(db, &id, jobs::named_by_life(life))?;
        Ok(Outcome::Committed { version })
    }

    /// Nothing was written: the fence moved, or the version did.
    fn refused(
        &self,
        db: &Connection,
        id: &str,
        fence: Option<u64>,
    ) -> Result<Outcome, StoreError> {
        let now = jobs::load(db, id)?;
        if fence.is_none_or(|fence| now.has_fence(fence)) {
            return Ok(Outcome::Stale(now));
        }
        if let Some(attempt) = &self.transition.attempt {
            attempts::note_lost(db, id, attempt)?;
        }
        Ok(Outcome::Lost)
    }

    /// When the money moved.
    fn at(&self) -> Result<UnixTime, StoreError> {
        let timeline = self.transition.timeline.as_ref().map(|entry| entry.at);
        let settled = self.transition.life.settlement.as_ref().map(|it| it.at);
        timeline.or(settled).ok_or_else(|| {
            StoreError::Corrupt(format!("money of job {} moves at no known time", self.id))
        })
    }
}

/// The provider the public API shows is that of the attempt last taken on. While another attempt is under way
/// the column holds it already.
fn newly_shown_provider(life: &Life) -> Option<&str> {
    let attempt = life.attempt.as_ref()?;
    (life.last_accepted_candidate == Some(attempt.candidate)).then_some(attempt.provider.0.as_str())
}

/// Takes leases on due jobs, longest claimable first.
pub(super) fn claim_due(
    db: &Connection,
    by: &WorkerId,
    now: UnixTime,
    lease: Duration,
    limit: u32,
) -> Result<Vec<JobRow>, StoreError> {
    let mut claimed = db
        .prepare_cached(sql!("work/claim_due"))?
        .query_map(
            params![now.millis(), now.plus(lease).millis(), by.0, limit],
            |row| Ok((row.get(1)?, row.get(0)?)),
        )?
        .collect::<Result<Vec<(i64, String)>, _>>()?;
    // The order in which an update hands its rows back is nobody's promise.
    claimed.sort_unstable();
    claimed.iter().map(|(_, id)| jobs::load(db, id)).collect()
}

pub(super) fn next_due(db: &Connection) -> Result<Option<UnixTime>, StoreError> {
    let earliest: Option<i64> = db
        .prepare_cached("SELECT min(claimable_at) FROM jobs WHERE due_at IS NOT NULL")?
        .query_row([], |row| row.get(0))?;
    Ok(earliest.map(instant))
}

pub(super) fn renew(
    db: &Connection,
    id: VideoId,
    fence: u64,
    until: UnixTime,
) -> Result<bool, StoreError> {
    // A lease that was ended is not brought back by a renewal that was under way.
    let renewed = db
        .prepare_cached(
            "UPDATE jobs SET lease_until = ?3 WHERE id = ?1 AND fence = ?2 AND lease_until IS NOT NULL",
        )?
        .execute(params![id.to_string(), stored(fence), until.millis()])?;
    Ok(renewed == 1)
}

pub(super) fn give_back(db: &Connection, id: VideoId, fence: u64) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE jobs SET lease_until = NULL, lease_by = NULL WHERE id = ?1 AND fence = ?2",
    )?
    .execute(params![id.to_string(), stored(fence)])?;
    Ok(())
}

/// Ends every lease that keeps somebody from a job: whoever has the data directory to himself knows that
/// their holders are dead.
pub(super) fn end_all_leases(db: &Connection) -> Result<usize, StoreError> {
    Ok(db.execute(END_ALL_LEASES, [])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(question: &str) -> String {
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
    fn claiming_looks_at_due_jobs_alone() {
        let plan = plan(sql!("work/claim_due"));
        assert!(
            plan.contains("USING INDEX jobs_by_claimable (claimable_at<?)"),
            "{plan}"
        );
        assert!(
            !plan.contains("SCAN") && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }

    #[test]
    fn the_next_due_instant_is_the_first_of_an_index() {
        let plan = plan("SELECT min(claimable_at) FROM jobs WHERE due_at IS NOT NULL");
        assert_eq!(plan, "SEARCH jobs USING INDEX jobs_by_claimable");
    }

    #[test]
    fn ending_all_leases_passes_finished_jobs_by() {
        let plan = plan(END_ALL_LEASES);
        assert!(plan.contains("jobs_by_claimable"), "{plan}");
    }
}
