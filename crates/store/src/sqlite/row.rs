//! Columns to core's words and back: ids, instants, enums and JSON.

use std::fmt::Display;
use std::str::FromStr;

use filmgate_core::job::Job;
use filmgate_core::money::Nanos;
use filmgate_core::time::UnixTime;
use rusqlite::Row;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Page, StoreError};

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

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database(Box::new(error)))
}

pub(super) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

/// An id from its text.
pub(super) fn id<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| corrupt(what, error))
}

/// One word of an enum, as serde names it.
pub(super) fn word<T: DeserializeOwned>(what: &str, text: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(text)).map_err(|error| corrupt(what, error))
}

/// The word serde gives a variant without data.
pub(super) fn word_of<T: Serialize>(value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(corrupt("an enum", format!("{other} is not a word"))),
        Err(error) => Err(StoreError::Database(Box::new(error))),
    }
}

/// A counter, which is never negative.
pub(super) fn count<T: TryFrom<i64, Error: Display>>(
    what: &str,
    value: i64,
) -> Result<T, StoreError> {
    T::try_from(value).map_err(|error| corrupt(what, error))
}

/// An amount, which is never negative.
pub(super) fn amount(what: &str, nanos: i64) -> Result<Nanos, StoreError> {
    Nanos::new(nanos).ok_or_else(|| corrupt(what, format!("{nanos} is negative")))
}

/// A page of `limit` rows, from up to one row more.
pub(super) fn page<T>(mut rows: Vec<T>, limit: u32) -> Page<T> {
    let limit = limit as usize;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    Page { rows, has_more }
}

/// A counter as SQLite stores it.
pub(super) fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn instant(millis: i64) -> UnixTime {
    UnixTime::from_millis(millis)
}

pub(super) fn corrupt(what: &str, why: impl Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {why}"))
}
