//! Jobs as clients see them: created, found, deleted. Lists are in `lists`, changes of life in `work`.

use filmgate_core::id::{GenerationId, VideoId, WorkspaceId};
use filmgate_core::job::{Admission, Life};
use filmgate_core::key::KeyStanding;
use filmgate_core::ledger::Account;
use filmgate_core::money::Nanos;
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::row::{JobRow, count, from_json, stored, to_json};
use super::{idempotency, keys, ledger, objects, outbox, repeats, sql, standings, timeline};
use crate::contents::{named_by_request, redact};
use crate::{Created, Found, Funds, NewJob, Recorded, StoreError};

/// A new job with its texts written out, so that the writer's thread only stores them.
#[derive(Debug)]
pub(super) struct Creation {
    new: NewJob,
    admission: String,
    life: String,
}

impl Creation {
    pub(super) fn encode(new: NewJob) -> Result<Self, StoreError> {
        Ok(Self {
            admission: to_json(&*new.job.admission)?,
            life: to_json(&new.opening.life)?,
            new,
        })
    }

    pub(super) fn run(&self, db: &Connection) -> Result<Created, StoreError> {
        let NewJob {
            job,
            opening,
            funds,
            binding,
            fingerprint,
        } = &self.new;
        let admission = &*job.admission;
        let now = admission.created_at;
        if let Some(binding) = binding
            && let Some(bound) =
                idempotency::find(db, binding.workspace, &binding.route, &binding.key, now)?
        {
            return Ok(Created::AlreadyBound(bound));
        }
        if let Some(fingerprint) = fingerprint
            && let Some(video) = repeats::take(db, fingerprint, now)?
        {
            return Ok(Created::Repeated(video));
        }
        let key = admission.key.to_string();
        let held = opening.effect_on(Account::Held);
        let before = standings::find(db, &key)?;
        let standing = KeyStanding {
            in_flight: before.in_flight + 1,
            held: standings::moved(before.held, held)?,
            ..before
        };
        if let Some(terms) = keys::terms(db, &key)? {
            let hold = Nanos::new(held.0).unwrap_or(Nanos::ZERO);
            if let Err(refusal) = terms.admit(&before, hold, now) {
                return Ok(Created::KeyRefused(refusal));
            }
        }
        if *funds == Funds::Needed && !opening.postings.is_empty() {
            let moved = opening.effect_on(Account::Available).0;
            let available = ledger::balances(db, admission.workspace)?.available.0;
            if available.saturating_add(moved) < 0 {
                return Ok(Created::InsufficientFunds);
            }
        }

        let id = admission.id.to_string();
        let life = &opening.life;
        let version = stored(job.version);
        db.prepare_cached(sql!("jobs/insert"))?.execute(params![
            id,
            admission.workspace.to_string(),
            admission.generation_id.to_string(),
            admission.request.model.0,
            job.shown_candidate().provider.0,
            admission.request.session_id,
            life.state.name(),
            life.status().as_str(),
            version,
            stored(job.fence),
            now.millis(),
            life.ended_at.map(UnixTime::millis),
            life.due_at.map(UnixTime::millis),
            self.life,
            key,
            opening.account.0,
        ])?;
        db.prepare_cached("INSERT INTO admissions (job, admission) VALUES (?1, ?2)")?
            .execute(params![db.last_insert_rowid(), self.admission])?;
        for posting in &opening.postings {
            ledger::post(db, admission.workspace, Some(&id), posting, now, None)?;
        }
        standings::keep(db, &key, standing)?;
        if let Some(fingerprint) = fingerprint {
            repeats::keep(db, admission.id, fingerprint, now)?;
        }
        if let Some(entry) = &opening.timeline {
            timeline::append(db, &id, version, entry)?;
        }
        outbox::append(db, &id, version, &opening.notices)?;
        objects::name(db, &id, named_by_request(&admission.request))?;
        if let Some(binding) = binding {
            idempotency::bind(db, binding, &id, now)?;
        }
        Ok(Created::New)
    }
}

pub(super) fn find(
    db: &Connection,
    workspace: WorkspaceId,
    id: VideoId,
) -> Result<Found, StoreError> {
    look_up(db, sql!("jobs/find"), &id.to_string(), workspace)
}

pub(super) fn find_generation(
    db: &Connection,
    workspace: WorkspaceId,
    id: GenerationId,
) -> Result<Option<Recorded>, StoreError> {
    let found = db
        .prepare_cached(sql!("jobs/find_generation"))?
        .query_row(params![id.to_string(), workspace.to_string()], |row| {
            let deleted: Option<i64> = row.get(4)?;
            Ok((JobRow::read(row)?, deleted.is_some()))
        })
        .optional()?;
    found
        .map(|(row, deleted)| {
            Ok(Recorded {
                job: row.into_job()?,
                deleted,
            })
        })
        .transpose()
}

fn look_up(
    db: &Connection,
    question: &str,
    id: &dyn ToSql,
    workspace: WorkspaceId,
) -> Result<Found, StoreError> {
    let found = db
        .prepare_cached(question)?
        .query_row(params![id, workspace.to_string()], |row| {
            let deleted: Option<i64> = row.get(4)?;
            match deleted {
                Some(_) => Ok(None),
                None => JobRow::read(row).map(Some),
            }
        })
        .optional()?;
    Ok(match found {
        None => Found::Absent,
        Some(None) => Found::Deleted,
        Some(Some(row)) => Found::Job(Box::new(row.into_job()?)),
    })
}

pub(super) fn version_of(
    db: &Connection,
    workspace: WorkspaceId,
    id: VideoId,
) -> Result<Option<u64>, StoreError> {
    let found: Option<i64> = db
        .prepare_cached(
            "SELECT version FROM jobs WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL",
        )?
        .query_row(params![id.to_string(), workspace.to_string()], |row| {
            row.get(0)
        })
        .optional()?;
    found
        .map(|version| count("a job's version", version))
        .transpose()
}

pub(super) fn versions_of(
    db: &Connection,
    jobs: Vec<VideoId>,
) -> Result<Vec<(VideoId, u64)>, StoreError> {
    let mut question =
        db.prepare_cached("SELECT version FROM jobs WHERE id = ?1 AND deleted_at IS NULL")?;
    let mut versions = Vec::with_capacity(jobs.len());
    for id in jobs {
        let found: Option<i64> = question
            .query_row([id.to_string()], |row| row.get(0))
            .optional()?;
        if let Some(version) = found {
            versions.push((id, count("a job's version", version)?));
        }
    }
    Ok(versions)
}

/// The row of a job that must exist, deleted or not.
pub(super) fn load(db: &Connection, id: &str) -> Result<JobRow, StoreError> {
    db.prepare_cached(sql!("jobs/load"))?
        .query_row([id], JobRow::read)
        .optional()?
        .ok_or_else(|| StoreError::Corrupt(format!("there is no job {id} to work on")))
}

/// A job whoever owns it, unless it is deleted.
pub(super) fn find_anywhere(db: &Connection, id: VideoId) -> Result<Option<JobRow>, StoreError> {
    let found = db
        .prepare_cached(sql!("jobs/find_anywhere"))?
        .query_row([id.to_string()], JobRow::read)
        .optional()?;
    Ok(found)
}

/// Empties a terminal job of what its owner put in and got out. `false` if it is not there at `version`.
pub(super) fn delete(
    db: &Connection,
    id: VideoId,
    version: u64,
    now: UnixTime,
) -> Result<bool, StoreError> {
    let video = id.to_string();
    let found: Option<(i64, String, String)> = db
        .prepare_cached(
            "SELECT seq, admission, life FROM jobs JOIN admissions ON admissions.job = jobs.seq
             WHERE id = ?1 AND version = ?2 AND ended_at IS NOT NULL AND deleted_at IS NULL",
        )?
        .query_row(params![video, stored(version)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((seq, admission, life)) = found else {
        return Ok(false);
    };
    let mut admission: Admission = from_json("an admission", &admission)?;
    let mut life: Life = from_json("a job's life", &life)?;
    objects::forget(db, &video, named_by_request(&admission.request))?;
    objects::forget(db, &video, life.output_objects())?;
    redact(&mut admission, &mut life);
    db.prepare_cached("UPDATE admissions SET admission = ?2 WHERE job = ?1")?
        .execute(params![seq, to_json(&admission)?])?;
    db.prepare_cached(
        "UPDATE jobs SET life = ?2, session = NULL, deleted_at = ?3, due_at = ?4, version = version + 1
         WHERE id = ?1",
    )?
    .execute(params![
        video,
        to_json(&life)?,
        now.millis(),
        life.due_at.map(UnixTime::millis)
    ])?;
    repeats::acknowledge(db, id)?;
    Ok(true)
}
