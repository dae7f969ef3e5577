//! What a column holds, in core's words and back: ids, instants, enums and JSON, the same in either engine.

use std::fmt::Display;
use std::str::FromStr;

use filmgate_core::money::Nanos;
use filmgate_core::time::UnixTime;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Page, StoreError};

pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Database(Box::new(error)))
}

pub(crate) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| corrupt(what, error))
}

/// An id from its text.
pub(crate) fn id<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| corrupt(what, error))
}

/// One word of an enum, as serde names it.
pub(crate) fn word<T: DeserializeOwned>(what: &str, text: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(text)).map_err(|error| corrupt(what, error))
}

/// The word serde gives a variant without data.
pub(crate) fn word_of<T: Serialize>(value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(other) => Err(corrupt("an enum", format!("{other} is not a word"))),
        Err(error) => Err(StoreError::Database(Box::new(error))),
    }
}

/// A counter, which is never negative.
pub(crate) fn count<T: TryFrom<i64, Error: Display>>(
    what: &str,
    value: i64,
) -> Result<T, StoreError> {
    T::try_from(value).map_err(|error| corrupt(what, error))
}

/// An amount, which is never negative.
pub(crate) fn amount(what: &str, nanos: i64) -> Result<Nanos, StoreError> {
    Nanos::new(nanos).ok_or_else(|| corrupt(what, format!("{nanos} is negative")))
}

/// A page of `limit` rows, from up to one row more.
pub(crate) fn page<T>(mut rows: Vec<T>, limit: u32) -> Page<T> {
    let limit = limit as usize;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    Page { rows, has_more }
}

/// A counter as a column holds it.
pub(crate) fn stored(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn instant(millis: i64) -> UnixTime {
    UnixTime::from_millis(millis)
}

pub(crate) fn corrupt(what: &str, why: impl Display) -> StoreError {
    StoreError::Corrupt(format!("{what}: {why}"))
}
