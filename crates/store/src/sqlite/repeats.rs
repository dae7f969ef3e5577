//! Creates that came without an idempotency key: their fingerprints, until a later call names the job or it is too old
//! to be repeated.

use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::repeat::{Answer, LONGEST, RetryCount, RetryCounts, Unacknowledged};
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::row::{corrupt, id, instant};
use crate::{Fingerprint, StoreError};

/// Of so many jobs, the oldest first, one is looked for that a retry repeats. A client that has more of the same under
/// way, and named none of them, may get one more.
const MOST_LOOKED_AT: u32 = 1000;

const SAID_SO: &str = "SELECT job, created_at, answer, matched FROM unacknowledged
    INDEXED BY unacknowledged_by_fingerprint
    WHERE fingerprint = ?1 AND created_at > ?2 AND matched & ?4 = 0 ORDER BY created_at, job LIMIT ?3";
const SAID_NOTHING: &str = "SELECT job, created_at, answer, matched FROM unacknowledged
    INDEXED BY unacknowledged_by_lost_answer
    WHERE answer = 'lost' AND fingerprint = ?1 AND created_at > ?2 ORDER BY created_at, job LIMIT ?3";
/// Ids sort by the time they were minted in, so the first ones are the oldest.
const FORGET: &str = "DELETE FROM unacknowledged WHERE created_at <= ?1
    AND job IN (SELECT job FROM unacknowledged ORDER BY job LIMIT 2)";

/// Keeps the fingerprint that made a job. Each takes a few with it that are too old to be repeated, so that they
/// never pile up and no sweep is needed.
pub(super) fn keep(
    db: &Connection,
    video: VideoId,
    fingerprint: &Fingerprint,
    now: UnixTime,
) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO unacknowledged (job, fingerprint, created_at, answer, matched)
         VALUES (?1, ?2, ?3, 'open', ?4)",
    )?
    .execute(params![
        video.to_string(),
        fingerprint.digest,
        now.millis(),
        stored(RetryCounts::default().with(fingerprint.retry)),
    ])?;
    let oldest: Option<i64> = db
        .prepare_cached("SELECT created_at FROM unacknowledged ORDER BY job LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let too_old = now.minus(LONGEST).millis();
    if oldest.is_some_and(|oldest| oldest <= too_old) {
        db.prepare_cached(FORGET)?.execute([too_old])?;
    }
    Ok(())
}

/// The oldest job whose request this is once more. Its answer is open again.
pub(super) fn take(
    db: &Connection,
    fingerprint: &Fingerprint,
    now: UnixTime,
) -> Result<Option<VideoId>, StoreError> {
    let digest = fingerprint.digest;
    let oldest = now.minus(fingerprint.retry.reach()).millis();
    let mut question;
    let mut rows = if fingerprint.retry > RetryCount(0) {
        question = db.prepare_cached(SAID_SO)?;
        let own = stored(RetryCounts::default().with(fingerprint.retry));
        question.query(params![digest, oldest, MOST_LOOKED_AT, own])?
    } else {
        question = db.prepare_cached(SAID_NOTHING)?;
        question.query(params![digest, oldest, MOST_LOOKED_AT])?
    };
    while let Some(row) = rows.next()? {
        let answer: String = row.get(2)?;
        let matched: i64 = row.get(3)?;
        let matched = RetryCounts(matched.cast_unsigned());
        let job = Unacknowledged {
            created_at: instant(row.get(1)?),
            answer: Answer::parse(&answer).ok_or_else(|| corrupt("an answer", answer))?,
            matched,
        };
        if job.is_repeated_by(fingerprint.retry, now) {
            let video: String = row.get(0)?;
            db.prepare_cached(
                "UPDATE unacknowledged SET answer = 'open', matched = ?2 WHERE job = ?1",
            )?
            .execute(params![video, stored(matched.with(fingerprint.retry))])?;
            return Ok(Some(id("a job's id", &video)?));
        }
    }
    Ok(None)
}

/// Whether a repeat of the request that made this job would be looked for.
pub(super) fn has(
    db: &Connection,
    workspace: WorkspaceId,
    video: VideoId,
) -> Result<bool, StoreError> {
    let found = db
        .prepare_cached(
            "SELECT 1 FROM unacknowledged JOIN jobs ON jobs.id = unacknowledged.job
             WHERE unacknowledged.job = ?1 AND jobs.workspace = ?2",
        )?
        .query_row(
            params![video.to_string(), workspace.to_string()],
            |_| Ok(()),
        )
        .optional()?;
    Ok(found.is_some())
}

/// A call named the job.
pub(super) fn acknowledge(db: &Connection, video: VideoId) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM unacknowledged WHERE job = ?1")?
        .execute([video.to_string()])?;
    Ok(())
}

pub(super) fn note_answers(
    db: &Connection,
    videos: &[VideoId],
    answer: Answer,
) -> Result<(), StoreError> {
    let mut change =
        db.prepare_cached("UPDATE unacknowledged SET answer = ?2 WHERE job = ?1 AND answer <> ?2")?;
    for video in videos {
        change.execute(params![video.to_string(), answer.as_str()])?;
    }
    Ok(())
}

/// Whoever has the data directory to himself knows that no answer is being written any more.
pub(super) fn lose_all(db: &Connection) -> Result<(), StoreError> {
    db.execute(
        "UPDATE unacknowledged SET answer = 'lost' WHERE answer = 'open'",
        [],
    )?;
    Ok(())
}

fn stored(counts: RetryCounts) -> i64 {
    counts.0.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::super::claims::tests::plan;
    use super::{SAID_NOTHING, SAID_SO};

    #[test]
    fn what_was_asked_for_again_and_again_is_not_looked_through_each_time() {
        for (question, index) in [
            (SAID_NOTHING, "unacknowledged_by_lost_answer"),
            (SAID_SO, "unacknowledged_by_fingerprint"),
        ] {
            let plan = plan(question);
            let expected = format!(
                "SEARCH unacknowledged USING INDEX {index} (fingerprint=? AND created_at>?)"
            );
            assert_eq!(plan, expected, "and nothing is sorted");
        }
    }
}
