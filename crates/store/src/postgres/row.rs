//! Rows to jobs, and core's words to what PostgreSQL takes; single columns are read by `crate::columns`.

use std::borrow::Cow;

use filmgate_core::job::Job;
use sqlx::Row;
use sqlx::postgres::{PgQueryResult, PgRow};

pub(super) use crate::columns::{
    amount, corrupt, count, from_json, id, instant, page, stored, to_json, word, word_of,
};
use crate::{Inserted, StoreError};

/// From a row that begins with admission, life, version and fence.
pub(super) fn job(row: &PgRow) -> Result<Job, StoreError> {
    Ok(Job {
        admission: from_json("an admission", row.try_get(0)?)?,
        life: from_json("a job's life", row.try_get(1)?)?,
        version: count("a job's version", row.try_get(2)?)?,
        fence: count("a job's fence", row.try_get(3)?)?,
    })
}

/// A text from outside. PostgreSQL's have no NUL in them: where one was sent, the sign for what cannot be shown stands.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// [`text`], where there may be none.
pub(super) fn text_if_any(optional: Option<&str>) -> Option<Cow<'_, str>> {
    optional.map(text)
}

/// By how many rows an insert made.
pub(super) fn inserted(result: &PgQueryResult) -> Inserted {
    if result.rows_affected() == 0 {
        Inserted::Exists
    } else {
        Inserted::New
    }
}
