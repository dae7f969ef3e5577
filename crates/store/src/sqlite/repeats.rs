//! Creates that came without an idempotency key: their fingerprints, until a later call names the job.

use filmgate_core::id::VideoId;
use filmgate_core::repeat::{Answer, RetryCount, RetryCounts, Unacknowledged};
use filmgate_core::time::UnixTime;
use rusqlite::{Connection, params};

use super::row::{corrupt, id, instant};
use crate::{Fingerprint, StoreError};

/// Of so many jobs, the oldest first, one is looked for that a retry repeats. A client that has more of the same under
/// way, and named none of them, may get one more.
const MOST_LOOKED_AT: u32 = 1000;

const SAID_SO: &str =
    "SELECT id, created_at, answer, matched FROM jobs INDEXED BY jobs_by_fingerprint
    WHERE fingerprint IS NOT NULL AND fingerprint = ?1 AND created_at > ?2 AND matched & ?4 = 0
    ORDER BY created_at, seq LIMIT ?3";
const SAID_NOTHING: &str =
    "SELECT id, created_at, answer, matched FROM jobs INDEXED BY jobs_by_lost_answer
    WHERE fingerprint IS NOT NULL AND answer = 'lost' AND fingerprint = ?1 AND created_at > ?2
    ORDER BY created_at, seq LIMIT ?3";

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
        let own = first(fingerprint);
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
            db.prepare_cached("UPDATE jobs SET answer = 'open', matched = ?2 WHERE id = ?1")?
                .execute(params![video, stored(matched.with(fingerprint.retry))])?;
            return Ok(Some(id("a job's id", &video)?));
        }
    }
    Ok(None)
}

/// The counts of a job that `fingerprint` makes.
pub(super) fn first(fingerprint: &Fingerprint) -> i64 {
    stored(RetryCounts::default().with(fingerprint.retry))
}

/// A call named the job.
pub(super) fn acknowledge(db: &Connection, video: VideoId) -> Result<(), StoreError> {
    db.prepare_cached("UPDATE jobs SET fingerprint = NULL WHERE id = ?1")?
        .execute([video.to_string()])?;
    Ok(())
}

pub(super) fn note_answers(
    db: &Connection,
    videos: &[VideoId],
    answer: Answer,
) -> Result<(), StoreError> {
    let mut change = db.prepare_cached(
        "UPDATE jobs SET answer = ?2 WHERE id = ?1 AND fingerprint IS NOT NULL AND answer <> ?2",
    )?;
    for video in videos {
        change.execute(params![video.to_string(), answer.as_str()])?;
    }
    Ok(())
}

/// Whoever has the data directory to himself knows that no answer is being written any more. Jobs too old to be
/// repeated, by the age of the youngest one, are forgotten: the clock says no less than that.
pub(super) fn lose_all(db: &Connection) -> Result<(), StoreError> {
    let longest = i64::try_from(RetryCount(1).reach().as_millis()).unwrap_or(i64::MAX);
    db.execute(
        "UPDATE jobs SET fingerprint = NULL WHERE fingerprint IS NOT NULL
             AND created_at <= (SELECT created_at FROM jobs ORDER BY seq DESC LIMIT 1) - ?1",
        [longest],
    )?;
    db.execute(
        "UPDATE jobs SET answer = 'lost' WHERE fingerprint IS NOT NULL AND answer = 'open'",
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
            (SAID_NOTHING, "jobs_by_lost_answer"),
            (SAID_SO, "jobs_by_fingerprint"),
        ] {
            let plan = plan(question);
            let expected =
                format!("SEARCH jobs USING INDEX {index} (fingerprint=? AND created_at>?)");
            assert_eq!(plan, expected, "and nothing is sorted");
        }
    }
}
