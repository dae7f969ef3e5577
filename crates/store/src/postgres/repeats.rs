//! Creates that came without an idempotency key: their fingerprints, until a later call names the job or it is too old
//! to be repeated.
//!
//! Where there is a job to be made, whether its create is a repeat is looked up with all else that speaks for or against it
//! (`jobs`).

use filmgate_core::id::VideoId;
use filmgate_core::repeat::{Answer, RetryCount, RetryCounts};
use filmgate_core::time::UnixTime;
use sqlx::postgres::PgConnection;

use super::row::id;
use super::{processes, sql};
use crate::{Fingerprint, StoreError};

/// A look has to be repeated where another request was faster. Nobody loses so often, and whoever does is judged once
/// more by his create.
const MOST_LOOKS: u32 = 10;

impl Fingerprint {
    /// Whether the client says that it has tried before.
    pub(super) fn says_so(&self) -> bool {
        self.retry > RetryCount(0)
    }

    /// The bit of its retry count, as a column holds it.
    pub(super) fn bit(&self) -> i64 {
        RetryCounts::default().with(self.retry).0.cast_signed()
    }

    /// That bit, where jobs matched by the same count are passed over: 0 for one that says nothing.
    pub(super) fn bit_if_it_says_so(&self) -> i64 {
        if self.says_so() { self.bit() } else { 0 }
    }
}

/// Takes a request for a repeat of the one that made the job it answers, if there is such a job. What another process is just
/// making is not waited for.
pub(super) async fn find_and_take(
    db: &mut PgConnection,
    fingerprint: &Fingerprint,
    now: UnixTime,
    process: &str,
) -> Result<Option<VideoId>, StoreError> {
    for _ in 0..MOST_LOOKS {
        let (found, somebody_is_gone): (Option<String>, bool) =
            sqlx::query_as(sql!("repeats/find"))
                .bind(&fingerprint.digest[..])
                .bind(now.minus(fingerprint.retry.reach()).millis())
                .bind(fingerprint.bit_if_it_says_so())
                .bind(processes::GONE_AFTER_SECONDS)
                .fetch_one(&mut *db)
                .await?;
        if somebody_is_gone {
            processes::bury_the_gone(db).await?;
            continue;
        }
        let Some(video) = found else {
            return Ok(None);
        };
        let video = id("a job's id", &video)?;
        if take(db, video, fingerprint, process).await? {
            return Ok(Some(video));
        }
    }
    Ok(None)
}

/// Takes the create for a repeat of the request that made `video`: its answer is open again, and `process` gives it.
/// `false` if another create was faster, or a call has named the job by now.
pub(super) async fn take(
    db: &mut PgConnection,
    video: VideoId,
    fingerprint: &Fingerprint,
    process: &str,
) -> Result<bool, StoreError> {
    let taken = sqlx::query(sql!("repeats/take"))
        .bind(video.to_string())
        .bind(fingerprint.bit_if_it_says_so())
        .bind(fingerprint.bit())
        .bind(process)
        .execute(db)
        .await?;
    Ok(taken.rows_affected() == 1)
}

/// Forgets some of those that are too old. Whoever makes one does this, so that they never pile up and no sweep is
/// needed.
pub(super) async fn forget(db: &mut PgConnection, too_old: UnixTime) -> Result<(), StoreError> {
    sqlx::query(sql!("repeats/forget"))
        .bind(too_old.millis())
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn note_answers(
    db: &mut PgConnection,
    videos: &[VideoId],
    answer: Answer,
    process: &str,
) -> Result<(), StoreError> {
    let videos: Vec<String> = videos.iter().map(VideoId::to_string).collect();
    sqlx::query(
        "UPDATE unacknowledged SET answer = $2, answer_by = $3 WHERE job = ANY($1) AND answer <> $2",
    )
    .bind(videos)
    .bind(answer.as_str())
    .bind(process)
    .execute(db)
    .await?;
    Ok(())
}
