//! Attempts: a row each, kept for ever.

use filmgate_core::failure::Failure;
use filmgate_core::id::VideoId;
use filmgate_core::job::Attempt;
use filmgate_core::money::Nanos;
use filmgate_core::provider::NativeId;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, Row, params};

use super::row::{corrupt, count, from_json, instant, to_json, word, word_of};
use super::sql;
use crate::StoreError;

/// Writes the row as it is now; what it knew of the provider's side is never lost.
pub(super) fn keep(db: &Connection, job: &str, attempt: &Attempt) -> Result<(), StoreError> {
    db.prepare_cached(sql!("attempts/upsert"))?
        .execute(params![
            job,
            attempt.number,
            i64::try_from(attempt.candidate).unwrap_or(i64::MAX),
            attempt.provider.0,
            attempt.key,
            attempt.native.as_ref().map(|native| &native.0),
            attempt.submitted_at.millis(),
            attempt.accepted_at.map(UnixTime::millis),
            attempt.ended_at.map(UnixTime::millis),
            attempt.outcome.as_str(),
            attempt.failure.as_ref().map(to_json).transpose()?,
            attempt.provider_cost.map(Nanos::get),
            word_of(&attempt.billed)?,
        ])?;
    Ok(())
}

/// Writes what only a worker that lost its job knows. An attempt without a row never left, and gets none.
pub(super) fn note_lost(db: &Connection, job: &str, attempt: &Attempt) -> Result<(), StoreError> {
    db.prepare_cached(sql!("attempts/note_lost"))?
        .execute(params![
            job,
            attempt.number,
            attempt.native.as_ref().map(|native| &native.0),
            attempt.accepted_at.map(UnixTime::millis),
            attempt.provider_cost.map(Nanos::get),
        ])?;
    Ok(())
}

pub(super) fn of_job(db: &Connection, job: VideoId) -> Result<Vec<Attempt>, StoreError> {
    let mut question = db.prepare_cached(sql!("attempts/of_job"))?;
    let mut rows = question.query([job.to_string()])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        attempts.push(read(row)?);
    }
    Ok(attempts)
}

fn read(row: &Row<'_>) -> Result<Attempt, StoreError> {
    let native: Option<String> = row.get(4)?;
    let accepted_at: Option<i64> = row.get(6)?;
    let ended_at: Option<i64> = row.get(7)?;
    let failure: Option<String> = row.get(9)?;
    let provider_cost: Option<i64> = row.get(10)?;
    Ok(Attempt {
        number: count("an attempt's number", row.get(0)?)?,
        candidate: count("an attempt's candidate", row.get(1)?)?,
        provider: ProviderName(row.get(2)?),
        key: row.get(3)?,
        native: native.map(NativeId),
        submitted_at: instant(row.get(5)?),
        accepted_at: accepted_at.map(instant),
        ended_at: ended_at.map(instant),
        outcome: word("an attempt's outcome", row.get(8)?)?,
        failure: failure
            .map(|text| from_json::<Failure>("an attempt's failure", &text))
            .transpose()?,
        provider_cost: provider_cost
            .map(|cost| Nanos::new(cost).ok_or_else(|| corrupt("a provider's cost", cost)))
            .transpose()?,
        billed: word("an attempt's billing", row.get(11)?)?,
    })
}
