//! Work on jobs: leases and the commit of transitions.
//!
//! No other file changes a job's state; which jobs are claimed is in `claims`. Correctness rests on `fence` and
//! `version`; the lease only keeps two workers from doing the same work at the same time.

use filmgate_core::id::VideoId;
use filmgate_core::job::{Life, State, Transition};
use filmgate_core::ledger::Account;
use filmgate_core::time::UnixTime;
use sqlx::Row;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;

use super::actions::ActionRow;
use super::activity::GainRow;
use super::attempts::AttemptRow;
use super::row::{count, job, stored, text, to_json};
use super::transitions::{Beside, Statement};
use super::{attempts, jobs, sql, standings};
use crate::transitions::{Gain, moved_at, newly_shown_provider};
use crate::{AfterCommit, Basis, Committed, StoreError};

/// A transition with its texts written out.
#[derive(Debug)]
pub(super) struct Change<'a> {
    id: VideoId,
    basis: Basis,
    transition: &'a Transition,
    life: String,
}

impl<'a> Change<'a> {
    pub(super) fn encode(
        id: VideoId,
        basis: Basis,
        transition: &'a Transition,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            id,
            basis,
            life: to_json(&transition.life)?,
            transition,
        })
    }

    /// One statement, money or not; what was refused is looked at with another.
    pub(super) async fn run(&self, db: &mut PgConnection) -> Result<Committed, StoreError> {
        let moves_money = !self.transition.postings.is_empty() || self.transition.ends_job();
        let committed = if self.transition.is_alone() {
            let statement = sqlx::query(sql!("work/put_off")).bind(self.id.to_string());
            self.bind_job(statement).fetch_optional(&mut *db).await?
        } else if moves_money {
            let at = moved_at(self.id, self.transition)?;
            let statement = sqlx::query(concat!(
                sql!("work/commit"),
                sql!("work/settle"),
                sql!("transitions/rows"),
                sql!("transitions/money"),
                "SELECT version FROM job"
            ));
            let statement = self.bind(statement, at)?;
            self.bind_money(statement, at)
                .fetch_optional(&mut *db)
                .await?
        } else {
            let statement = sqlx::query(concat!(
                sql!("work/commit"),
                sql!("transitions/rows"),
                "SELECT version FROM job"
            ));
            let statement = self.bind(statement, UnixTime::default())?;
            statement.fetch_optional(&mut *db).await?
        };
        match committed {
            Some(row) => Ok(Committed::Committed {
                version: count("a job's version", row.try_get(0)?)?,
            }),
            None => self.refused(db).await,
        }
    }

    fn bind<'q>(
        &self,
        statement: Statement<'q>,
        at: UnixTime,
    ) -> Result<Statement<'q>, StoreError> {
        let transition = self.transition;
        let attempts = transition
            .attempt
            .iter()
            .map(AttemptRow::of)
            .collect::<Result<Vec<_>, _>>()?;
        let actions: Vec<ActionRow<'_>> = transition.action.iter().map(ActionRow::of).collect();
        let objects = transition.life.output_objects();
        let statement = Beside::of(self.id, transition, objects, at).bind(statement);
        Ok(self
            .bind_job(statement)
            .bind(Json(attempts))
            .bind(transition.forgotten.clone())
            .bind(Json(actions)))
    }

    /// The job and its place: the same parameters in every statement, in this order.
    fn bind_job<'q>(&self, statement: Statement<'q>) -> Statement<'q> {
        let life = &self.transition.life;
        let (version, fence, end_lease) = match self.basis {
            Basis::Claim {
                fence,
                version,
                after,
            } => (version, Some(fence), after == AfterCommit::EndLease),
            Basis::Seen { version } => (version, None, false),
        };
        statement
            .bind(stored(version))
            .bind(fence.map(stored))
            .bind(life.state.name())
            .bind(life.status().as_str())
            .bind(self.life.clone())
            .bind(life.due_at.map(UnixTime::millis))
            .bind(life.ended_at.map(UnixTime::millis))
            .bind(newly_shown_provider(life).map(|provider| text(provider).into_owned()))
            .bind(end_lease)
            .bind(phase_of(life))
            .bind(text(&self.transition.account.0).into_owned())
    }

    fn bind_money<'q>(&self, statement: Statement<'q>, at: UnixTime) -> Statement<'q> {
        let transition = self.transition;
        let gains: Vec<GainRow<'_>> = Gain::of(transition).iter().map(GainRow::of).collect();
        statement
            .bind(i64::from(transition.ends_job()))
            .bind(transition.effect_on(Account::Held).0)
            .bind(transition.effect_on(Account::Revenue).0.max(0))
            .bind(Json(standings::periods(at)))
            .bind(Json(gains))
    }

    /// Nothing was written: the fence moved, or the version did.
    async fn refused(&self, db: &mut PgConnection) -> Result<Committed, StoreError> {
        let now = job(&jobs::load(&mut *db, self.id).await?)?;
        let has_moved = |fence| fence != now.fence;
        match self.basis {
            Basis::Claim { fence, .. } if has_moved(fence) => {
                if let Some(attempt) = &self.transition.attempt {
                    attempts::note_lost(db, self.id, attempt).await?;
                }
                Ok(Committed::Lost)
            }
            Basis::Claim { .. } | Basis::Seen { .. } => Ok(Committed::Stale(Box::new(now))),
        }
    }
}

/// Whom a job waits for, as the queue knows it.
pub(super) fn phase_of(life: &Life) -> &'static str {
    match &life.state {
        State::Accepted => "waiting",
        State::Submitting { .. } => "submitting",
        State::Running { .. } => "running",
        State::Fetching { .. } => "fetching",
        State::Completed { .. }
        | State::Failed { .. }
        | State::Cancelled
        | State::Expired { .. } => "ended",
    }
}

pub(super) async fn renew(
    db: &mut PgConnection,
    id: VideoId,
    fence: u64,
    until: UnixTime,
) -> Result<bool, StoreError> {
    // A lease that was ended is not brought back by a renewal that was under way.
    let renewed = sqlx::query(
        "UPDATE work SET lease_until = $3 WHERE job = $1 AND fence = $2 AND lease_until IS NOT NULL",
    )
    .bind(id.to_string())
    .bind(stored(fence))
    .bind(until.millis())
    .execute(db)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

pub(super) async fn give_back(
    db: &mut PgConnection,
    id: VideoId,
    fence: u64,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE work SET lease_until = NULL, lease_by = NULL WHERE job = $1 AND fence = $2",
    )
    .bind(id.to_string())
    .bind(stored(fence))
    .execute(db)
    .await?;
    Ok(())
}
