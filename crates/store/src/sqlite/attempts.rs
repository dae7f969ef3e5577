//! Attempts: a row each, kept for ever; and how long the latest of them took.

use filmgate_core::failure::Failure;
use filmgate_core::id::VideoId;
use filmgate_core::job::{Attempt, Done};
use filmgate_core::money::Nanos;
use filmgate_core::provider::NativeId;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::{corrupt, count, from_json, instant, to_json, word, word_of};
use super::sql;
use crate::{StoreError, Success};

const NEXT_KIND: &str = "SELECT provider, native_model FROM attempts INDEXED BY attempts_done
    WHERE done_at IS NOT NULL AND native_model IS NOT NULL AND (provider, native_model) > (?1, ?2)
    ORDER BY provider, native_model LIMIT 1";
const LATEST: &str =
    "SELECT accepted_at, not_done_at, done_at FROM attempts INDEXED BY attempts_done
    WHERE done_at IS NOT NULL AND native_model IS NOT NULL AND provider = ?1 AND native_model = ?2
    ORDER BY done_at DESC LIMIT ?3";

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
            attempt.native_model,
            attempt.done.map(|done| done.after.millis()),
            attempt.done.map(|done| done.by.millis()),
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

/// What the latest attempts took that succeeded, up to `each` of a kind; the oldest first.
pub(super) fn successes(db: &Connection, each: u32) -> Result<Vec<Success>, StoreError> {
    let mut next = db.prepare_cached(NEXT_KIND)?;
    let mut latest = db.prepare_cached(LATEST)?;
    let mut successes = Vec::new();
    let mut kind = (String::new(), String::new());
    while let Some(found) = next
        .query_row([&kind.0, &kind.1], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
    {
        kind = found;
        let mut rows = latest.query(params![kind.0, kind.1, each])?;
        while let Some(row) = rows.next()? {
            let done = Done {
                after: instant(row.get(1)?),
                by: instant(row.get(2)?),
            };
            successes.push(Success {
                provider: ProviderName(kind.0.clone()),
                native_model: kind.1.clone(),
                accepted_at: instant(row.get(0)?),
                done,
            });
        }
    }
    successes.sort_by_key(|success| success.done.by);
    Ok(successes)
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
        native_model: row.get(12)?,
        key: row.get(3)?,
        native: native.map(NativeId),
        submitted_at: instant(row.get(5)?),
        accepted_at: accepted_at.map(instant),
        done: done(row.get(13)?, row.get(14)?),
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

fn done(after: Option<i64>, by: Option<i64>) -> Option<Done> {
    Some(Done {
        after: instant(after?),
        by: instant(by?),
    })
}

#[cfg(test)]
mod tests {
    use super::super::claims::tests::plan;
    use super::{LATEST, NEXT_KIND};

    #[test]
    fn the_latest_of_each_kind_are_found_however_many_there_are() {
        for (question, expected) in [
            (
                NEXT_KIND,
                "SEARCH attempts USING COVERING INDEX attempts_done ((provider,native_model)>(?,?))",
            ),
            (
                LATEST,
                "SEARCH attempts USING INDEX attempts_done (provider=? AND native_model=? AND done_at>?)",
            ),
        ] {
            assert_eq!(plan(question), expected, "and nothing is sorted");
        }
    }
}
