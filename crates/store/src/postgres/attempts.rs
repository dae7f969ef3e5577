//! Attempts: a row each, kept for ever; and how long the latest of them took.

use std::borrow::Cow;

use filmgate_core::failure::Failure;
use filmgate_core::id::VideoId;
use filmgate_core::job::{Attempt, Done};
use filmgate_core::money::Nanos;
use filmgate_core::provider::NativeId;
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use super::row::{
    amount, count, from_json, instant, stored, text, text_if_any, to_json, word, word_of,
};
use super::sql;
use crate::{StoreError, Success};

/// An attempt's row as a statement takes it.
#[derive(Debug, Serialize)]
pub(super) struct AttemptRow<'a> {
    number: u32,
    candidate: i64,
    provider: Cow<'a, str>,
    key: Cow<'a, str>,
    native: Option<Cow<'a, str>>,
    submitted_at: i64,
    accepted_at: Option<i64>,
    ended_at: Option<i64>,
    outcome: &'static str,
    failure: Option<String>,
    provider_cost: Option<i64>,
    billed: String,
    native_model: Option<Cow<'a, str>>,
    not_done_at: Option<i64>,
    done_at: Option<i64>,
}

impl<'a> AttemptRow<'a> {
    pub(super) fn of(attempt: &'a Attempt) -> Result<Self, StoreError> {
        Ok(Self {
            number: attempt.number,
            candidate: stored(attempt.candidate as u64),
            provider: text(&attempt.provider.0),
            key: text(&attempt.key),
            native: text_if_any(native(attempt)),
            submitted_at: attempt.submitted_at.millis(),
            accepted_at: attempt.accepted_at.map(UnixTime::millis),
            ended_at: attempt.ended_at.map(UnixTime::millis),
            outcome: attempt.outcome.as_str(),
            failure: attempt.failure.as_ref().map(to_json).transpose()?,
            provider_cost: attempt.provider_cost.map(Nanos::get),
            billed: word_of(&attempt.billed)?,
            native_model: text_if_any(attempt.native_model.as_deref()),
            not_done_at: attempt.done.map(|done| done.after.millis()),
            done_at: attempt.done.map(|done| done.by.millis()),
        })
    }
}

fn native(attempt: &Attempt) -> Option<&str> {
    attempt.native.as_ref().map(|native| native.0.as_str())
}

/// Writes what only a worker that lost its job knows. An attempt without a row never left, and gets none.
pub(super) async fn note_lost(
    db: &mut PgConnection,
    job: VideoId,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    sqlx::query(sql!("attempts/note_lost"))
        .bind(job.to_string())
        .bind(i64::from(attempt.number))
        .bind(text_if_any(native(attempt)))
        .bind(attempt.accepted_at.map(UnixTime::millis))
        .bind(attempt.provider_cost.map(Nanos::get))
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn of_job(
    db: &mut PgConnection,
    job: VideoId,
) -> Result<Vec<Attempt>, StoreError> {
    let rows = sqlx::query(sql!("attempts/of_job"))
        .bind(job.to_string())
        .fetch_all(db)
        .await?;
    rows.iter().map(read).collect()
}

/// What the latest attempts took that succeeded, up to `each` of a kind; the oldest first.
pub(super) async fn successes(
    db: &mut PgConnection,
    each: u32,
) -> Result<Vec<Success>, StoreError> {
    let rows = sqlx::query(sql!("attempts/successes"))
        .bind(i64::from(each))
        .fetch_all(db)
        .await?;
    let successes = rows.iter().map(|row| {
        let done = Done {
            after: instant(row.try_get(3)?),
            by: instant(row.try_get(4)?),
        };
        Ok(Success {
            provider: ProviderName(row.try_get(0)?),
            native_model: row.try_get(1)?,
            accepted_at: instant(row.try_get(2)?),
            done,
        })
    });
    successes.collect()
}

fn read(row: &PgRow) -> Result<Attempt, StoreError> {
    let native: Option<String> = row.try_get(4)?;
    let accepted_at: Option<i64> = row.try_get(6)?;
    let ended_at: Option<i64> = row.try_get(7)?;
    let failure: Option<&str> = row.try_get(9)?;
    let provider_cost: Option<i64> = row.try_get(10)?;
    Ok(Attempt {
        number: count("an attempt's number", row.try_get(0)?)?,
        candidate: count("an attempt's candidate", row.try_get(1)?)?,
        provider: ProviderName(row.try_get(2)?),
        native_model: row.try_get(12)?,
        key: row.try_get(3)?,
        native: native.map(NativeId),
        submitted_at: instant(row.try_get(5)?),
        accepted_at: accepted_at.map(instant),
        done: done(row.try_get(13)?, row.try_get(14)?),
        ended_at: ended_at.map(instant),
        outcome: word("an attempt's outcome", row.try_get(8)?)?,
        failure: failure
            .map(|text| from_json::<Failure>("an attempt's failure", text))
            .transpose()?,
        provider_cost: provider_cost
            .map(|cost| amount("a provider's cost", cost))
            .transpose()?,
        billed: word("an attempt's billing", row.try_get(11)?)?,
    })
}

fn done(after: Option<i64>, by: Option<i64>) -> Option<Done> {
    Some(Done {
        after: instant(after?),
        by: instant(by?),
    })
}
