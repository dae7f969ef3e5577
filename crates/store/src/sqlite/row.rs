//! Rows to jobs; single columns are read by `crate::columns`.

use filmgate_core::job::Job;
use rusqlite::Row;

pub(super) use crate::columns::{
    amount, corrupt, count, from_json, id, instant, page, stored, to_json, word, word_of,
};

use crate::StoreError;

/// A job's row as read; turned into a [`Job`] by whoever asked, not by the writer's thread.
#[derive(Debug)]
pub(super) struct JobRow {
    admission: String,
    life: String,
    version: i64,
    fence: i64,
}

impl JobRow {
    /// From a row that begins with admission, life, version and fence.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            admission: row.get(0)?,
            life: row.get(1)?,
            version: row.get(2)?,
            fence: row.get(3)?,
        })
    }

    pub(super) fn has_fence(&self, fence: u64) -> bool {
        self.fence == stored(fence)
    }

    pub(super) fn into_job(self) -> Result<Job, StoreError> {
        Ok(Job {
            admission: from_json("an admission", &self.admission)?,
            life: from_json("a job's life", &self.life)?,
            version: count("a job's version", self.version)?,
            fence: count("a job's fence", self.fence)?,
        })
    }
}
