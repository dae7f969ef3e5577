//! Jobs as clients see them: created, found, deleted. Lists are in `lists`, changes of life in `work`.
//!
//! A create looks first and writes then, each in one statement. What the look cannot promise for the write, because
//! others may come between, is judged under a guard: what a key with limits has used up, whether funds suffice, whether
//! a retry's job is there already. Most creates need none.

use filmgate_core::id::{GenerationId, VideoId, WorkspaceId};
use filmgate_core::job::{Admission, Job, Life};
use filmgate_core::key::{KeyStanding, KeyTerms};
use filmgate_core::ledger::Account;
use filmgate_core::money::{Delta, Nanos};
use filmgate_core::repeat::LONGEST;
use filmgate_core::time::UnixTime;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::connections::{Guard, begin};
use super::row::{count, from_json, id, job, stored, text, text_if_any, to_json};
use super::transitions::Beside;
use super::{idempotency, keys, processes, repeats, sql, standings, work};
use crate::contents::{named_by_request, redact};
use crate::{Bound, Created, Found, Funds, NewJob, Recorded, StoreError};

/// Each further look has a reason that the one before cannot have had: a guard that was missing, or somebody else who
/// was faster. Nobody loses so often.
const MOST_LOOKS: u32 = 100;

/// A new job with its texts written out.
#[derive(Debug)]
pub(super) struct Creation<'a> {
    new: &'a NewJob,
    admission: String,
    life: String,
    /// Who gives the answer.
    process: &'a str,
}

/// What speaks for or against it.
struct Look {
    bound: Option<Bound>,
    /// The job whose request this is once more.
    repeats: Option<VideoId>,
    /// `None` where the key has no limits.
    limits: Option<(KeyTerms, KeyStanding)>,
    available: Delta,
    somebody_is_gone: bool,
    some_are_too_old: bool,
    some_have_expired: bool,
}

/// What a look leads to.
enum Step {
    /// It is made; the look says what else there is to do.
    Made(Look),
    /// There is nothing to make.
    Done(Created),
    /// Only a look under this guard will do.
    Guard(Guard),
    /// Somebody was faster.
    LookAgain,
}

impl<'a> Creation<'a> {
    pub(super) fn encode(new: &'a NewJob, process: &'a str) -> Result<Self, StoreError> {
        Ok(Self {
            new,
            admission: to_json(&*new.job.admission)?,
            life: to_json(&new.opening.life)?,
            process,
        })
    }

    pub(super) async fn run(&self, db: &mut PgConnection) -> Result<Created, StoreError> {
        let mut guards = self.guards();
        for _ in 0..MOST_LOOKS {
            let step = if guards.iter().all(|guard| guard.is_shared()) {
                // A statement takes a guard that lets others in for itself.
                self.step(db, &guards).await?
            } else {
                let mut tx = begin(db, &guards).await?;
                let step = self.step(&mut tx, &guards).await?;
                tx.commit().await?;
                step
            };
            match step {
                Step::Made(look) => {
                    self.clear_up(db, &look).await;
                    return Ok(Created::New);
                }
                Step::Done(created) => return Ok(created),
                Step::Guard(guard) => guards.push(guard),
                Step::LookAgain => {}
            }
        }
        Err(StoreError::Database("others were always faster".into()))
    }

    /// Those it is known to need before anything was looked at.
    fn guards(&self) -> Vec<Guard> {
        let repeats = self.new.fingerprint.as_ref().map(Guard::of_repeats);
        let workspace = self.new.job.admission.workspace;
        let funds = (self.new.funds == Funds::Needed).then(|| Guard::of_funds(workspace));
        repeats.into_iter().chain(funds).collect()
    }

    async fn step(&self, db: &mut PgConnection, guards: &[Guard]) -> Result<Step, StoreError> {
        let look = self.look(db).await?;
        if let Some(bound) = &look.bound {
            return Ok(Step::Done(Created::AlreadyBound(bound.clone())));
        }
        if look.somebody_is_gone {
            processes::bury_the_gone(db).await?;
            return Ok(Step::LookAgain);
        }
        if let (Some(fingerprint), Some(video)) = (&self.new.fingerprint, look.repeats) {
            let taken = repeats::take(db, video, fingerprint, self.process).await?;
            return Ok(if taken {
                Step::Done(Created::Repeated(video))
            } else {
                Step::LookAgain
            });
        }
        if let Some((terms, standing)) = &look.limits {
            let admission = &self.new.job.admission;
            let hold = Nanos::new(self.held()).unwrap_or(Nanos::ZERO);
            if let Err(refusal) = terms.admit(standing, hold, admission.created_at) {
                return Ok(Step::Done(Created::KeyRefused(refusal)));
            }
            let guard = Guard::of_key(admission.key);
            if !guards.contains(&guard) {
                return Ok(Step::Guard(guard));
            }
        }
        let opening = &self.new.opening;
        if self.new.funds == Funds::Needed && !opening.postings.is_empty() {
            let moved = opening.effect_on(Account::Available);
            if look.available.0.saturating_add(moved.0) < 0 {
                return Ok(Step::Done(Created::InsufficientFunds));
            }
        }
        Ok(if self.write(db).await? {
            Step::Made(look)
        } else {
            Step::LookAgain
        })
    }

    /// Takes a few rows with it that nobody needs any more. The job is made, whatever comes of that.
    async fn clear_up(&self, db: &mut PgConnection, look: &Look) {
        let now = self.new.job.admission.created_at;
        let cleared = async {
            if look.some_are_too_old {
                repeats::forget(db, now.minus(LONGEST)).await?;
            }
            if look.some_have_expired {
                idempotency::sweep(db, now).await?;
            }
            Ok::<_, StoreError>(())
        };
        if let Err(error) = cleared.await {
            tracing::warn!(%error, "what is too old is left to the next create");
        }
    }

    fn held(&self) -> i64 {
        self.new.opening.effect_on(Account::Held).0
    }

    async fn look(&self, db: &mut PgConnection) -> Result<Look, StoreError> {
        let NewJob {
            job,
            funds,
            binding,
            fingerprint,
            ..
        } = self.new;
        let now = job.admission.created_at;
        let reach = fingerprint.map(|it| it.retry.reach()).unwrap_or_default();
        let row = sqlx::query(sql!("jobs/look"))
            .bind(job.admission.key.to_string())
            .bind(job.admission.workspace.to_string())
            .bind(now.millis())
            .bind(binding.as_ref().map(|binding| &binding.route))
            .bind(binding.as_ref().map(|binding| text(&binding.key)))
            .bind(fingerprint.as_ref().map(|it| &it.digest[..]))
            .bind(now.minus(reach).millis())
            .bind(fingerprint.map_or(0, |it| it.bit_if_it_says_so()))
            .bind(now.minus(LONGEST).millis())
            .bind(*funds == Funds::Needed)
            .bind(processes::GONE_AFTER_SECONDS)
            .fetch_one(db)
            .await?;
        let repeats: Option<&str> = row.try_get(2)?;
        let standing = standings::read(&row, 6)?.unwrap_or_default();
        let available: Option<i64> = row.try_get(10)?;
        Ok(Look {
            bound: idempotency::read(&row)?,
            repeats: repeats.map(|video| id("a job's id", video)).transpose()?,
            limits: keys::limits(&row, 3)?.map(|terms| (terms, standing)),
            available: Delta(available.unwrap_or_default()),
            somebody_is_gone: row.try_get(11)?,
            some_are_too_old: row.try_get(12)?,
            some_have_expired: row.try_get(13)?,
        })
    }

    /// `false`, and nothing was written, if somebody has bound the idempotency key since the look.
    async fn write(&self, db: &mut PgConnection) -> Result<bool, StoreError> {
        let NewJob {
            job,
            opening,
            binding,
            fingerprint,
            ..
        } = self.new;
        let admission = &*job.admission;
        let (request, life) = (&*admission.request, &opening.life);
        let guard = fingerprint.as_ref().map(Guard::of_repeats);
        let statement = sqlx::query(concat!(
            sql!("jobs/create"),
            sql!("transitions/rows"),
            sql!("transitions/money"),
            "SELECT 1 FROM job"
        ));
        let objects = named_by_request(request);
        let made = Beside::of(admission.id, opening, objects, admission.created_at)
            .bind(statement)
            .bind(admission.workspace.to_string())
            .bind(admission.generation_id.to_string())
            .bind(admission.key.to_string())
            .bind(text(&request.model.0))
            .bind(text(&job.shown_candidate().provider.0))
            .bind(text_if_any(request.session_id.as_deref()))
            .bind(life.state.name())
            .bind(life.status().as_str())
            .bind(stored(job.version))
            .bind(stored(job.fence))
            .bind(life.ended_at.map(UnixTime::millis))
            .bind(life.due_at.map(UnixTime::millis))
            .bind(work::phase_of(life))
            .bind(&self.life)
            .bind(&self.admission)
            .bind(self.held())
            .bind(fingerprint.as_ref().map(|it| &it.digest[..]))
            .bind(guard.map(Guard::number))
            .bind(fingerprint.as_ref().map(|it| it.bit()))
            .bind(self.process)
            .bind(binding.as_ref().map(|binding| &binding.route))
            .bind(binding.as_ref().map(|binding| text(&binding.key)))
            .bind(binding.as_ref().map(|binding| &binding.digest[..]))
            .bind(binding.as_ref().map(|binding| binding.expires_at.millis()))
            .bind(text(&opening.account.0))
            .fetch_optional(db)
            .await?;
        Ok(made.is_some())
    }
}

pub(super) async fn find(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    id: VideoId,
) -> Result<Found, StoreError> {
    let found = sqlx::query(sql!("jobs/find"))
        .bind(id.to_string())
        .bind(workspace.to_string())
        .fetch_optional(db)
        .await?;
    read_found(found.as_ref())
}

/// [`find`] for a call that names the job.
pub(super) async fn acknowledge(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    id: VideoId,
) -> Result<Found, StoreError> {
    let found = sqlx::query(sql!("jobs/acknowledge"))
        .bind(id.to_string())
        .bind(workspace.to_string())
        .fetch_optional(db)
        .await?;
    read_found(found.as_ref())
}

fn read_found(row: Option<&PgRow>) -> Result<Found, StoreError> {
    let Some(row) = row else {
        return Ok(Found::Absent);
    };
    if row.try_get(4)? {
        return Ok(Found::Deleted);
    }
    Ok(Found::Job(Box::new(job(row)?)))
}

pub(super) async fn find_generation(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    id: GenerationId,
) -> Result<Option<Recorded>, StoreError> {
    let found = sqlx::query(sql!("jobs/find_generation"))
        .bind(id.to_string())
        .bind(workspace.to_string())
        .fetch_optional(db)
        .await?;
    let read = |row: PgRow| {
        Ok(Recorded {
            job: job(&row)?,
            deleted: row.try_get(4)?,
        })
    };
    found.map(read).transpose()
}

pub(super) async fn version_of(
    db: &mut PgConnection,
    workspace: WorkspaceId,
    id: VideoId,
) -> Result<Option<u64>, StoreError> {
    let found: Option<i64> = sqlx::query_scalar(
        "SELECT version FROM jobs WHERE id = $1 AND workspace = $2 AND deleted_at IS NULL",
    )
    .bind(id.to_string())
    .bind(workspace.to_string())
    .fetch_optional(db)
    .await?;
    found
        .map(|version| count("a job's version", version))
        .transpose()
}

/// The row of a job that must exist, deleted or not.
pub(super) async fn load(db: &mut PgConnection, id: VideoId) -> Result<PgRow, StoreError> {
    sqlx::query(sql!("jobs/load"))
        .bind(id.to_string())
        .fetch_optional(db)
        .await?
        .ok_or_else(|| StoreError::Corrupt(format!("there is no job {id} to work on")))
}

/// A job whoever owns it, unless it is deleted.
pub(super) async fn find_anywhere(
    db: &mut PgConnection,
    id: VideoId,
) -> Result<Option<Job>, StoreError> {
    let found = sqlx::query(sql!("jobs/find_anywhere"))
        .bind(id.to_string())
        .fetch_optional(db)
        .await?;
    found.as_ref().map(job).transpose()
}

pub(super) async fn versions_of(
    db: &mut PgConnection,
    ids: &[VideoId],
) -> Result<Vec<(VideoId, u64)>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT id, version FROM jobs WHERE id = ANY($1) AND deleted_at IS NULL")
            .bind(ids)
            .fetch_all(db)
            .await?;
    rows.into_iter()
        .map(|(video, version)| {
            Ok((
                id("a job's id", &video)?,
                count("a job's version", version)?,
            ))
        })
        .collect()
}

/// Empties a terminal job of what its owner put in and got out. `false` if it is not there at `version`.
pub(super) async fn delete(
    db: &mut PgConnection,
    id: VideoId,
    version: u64,
    now: UnixTime,
) -> Result<bool, StoreError> {
    let found = sqlx::query(sql!("jobs/load"))
        .bind(id.to_string())
        .fetch_optional(&mut *db)
        .await?;
    let Some(found) = found else {
        return Ok(false);
    };
    // If this is another version than the one that was seen, the statement below changes nothing.
    let mut admission: Admission = from_json("an admission", found.try_get(0)?)?;
    let mut life: Life = from_json("a job's life", found.try_get(1)?)?;
    let objects: Vec<String> = named_by_request(&admission.request)
        .chain(life.output_objects())
        .map(str::to_owned)
        .collect();
    redact(&mut admission, &mut life);
    let deleted = sqlx::query(sql!("jobs/delete"))
        .bind(id.to_string())
        .bind(stored(version))
        .bind(now.millis())
        .bind(to_json(&life)?)
        .bind(to_json(&admission)?)
        .bind(objects)
        .bind(life.due_at.map(UnixTime::millis))
        .fetch_optional(db)
        .await?;
    Ok(deleted.is_some())
}
