//! Work on jobs: leases and the commit of transitions.
//!
//! No other file changes a job's state; which jobs are claimed is in `claims`. Correctness rests on `fence` and `version`; the lease only keeps two
//! workers from doing the same work at the same time.

use filmgate_core::id::VideoId;
use filmgate_core::job::Transition;
use filmgate_core::key::KeyStanding;
use filmgate_core::ledger::Account;
use filmgate_core::money::{Delta, Nanos};
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::activity::{self, Settled};
use super::row::{self, JobRow, stored, to_json};
use super::{actions, attempts, jobs, keys, ledger, objects, outbox, sql, standings, timeline};
use crate::{AfterCommit, Basis, StoreError, transitions};

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
        let job = db
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
                    transitions::newly_shown_provider(life),
                    end_lease,
                    life.status().as_str(),
                    self.transition.account.0,
                ],
                Settled::read,
            )
            .optional()?;
        let Some(job) = job else {
            return self.refused(db, &id, fence);
        };
        let version = seen + 1;
        if !self.transition.postings.is_empty() || self.transition.ends_job() {
            self.move_money(db, &id, &job)?;
        }
        if let Some(attempt) = &self.transition.attempt {
            attempts::keep(db, &id, attempt)?;
        }
        if let Some(entry) = &self.transition.timeline {
            timeline::append(db, &id, stored(version), entry)?;
        }
        outbox::append(db, &id, stored(version), &self.transition.notices)?;
        objects::name(db, &id, life.output_objects())?;
        if let Some(action) = &self.transition.action {
            actions::add(db, action)?;
        }
        let forgotten = self.transition.forgotten.iter().map(String::as_str);
        objects::forget(db, &id, forgotten)?;
        Ok(Outcome::Committed { version })
    }

    /// Postings, and what is kept of them beside the ledger.
    fn move_money(&self, db: &Connection, id: &str, job: &Settled) -> Result<(), StoreError> {
        let at = transitions::moved_at(self.id, &self.transition)?;
        let workspace = row::id("a job's workspace", &job.workspace)?;
        for posting in &self.transition.postings {
            ledger::post(db, workspace, Some(id), posting, at, None)?;
        }
        let held = self.transition.effect_on(Account::Held);
        let captured = self.transition.effect_on(Account::Revenue);
        let ended = u64::from(self.transition.ends_job());
        if ended > 0 || held != Delta::ZERO || captured != Delta::ZERO {
            let before = standings::find(db, &job.key)?;
            let mut standing = KeyStanding {
                in_flight: before.in_flight.saturating_sub(ended),
                held: standings::moved(before.held, held)?,
                ..before
            };
            if let Some(captured) = Nanos::new(captured.0).filter(|captured| !captured.is_zero()) {
                let reset = keys::limit_reset(db, &job.key)?;
                let start = reset.map(|reset| reset.period(at).start);
                standing = standing.capturing(captured, start.unwrap_or_default());
            }
            standings::keep(db, &job.key, standing)?;
        }
        activity::add(db, job, &self.transition, at)
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
