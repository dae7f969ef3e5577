//! The terms of a key as operators write them.

use filmgate_core::calendar::LimitReset;
use filmgate_core::id::WorkspaceId;
use filmgate_core::key::Role;
use filmgate_core::time::UnixTime;
use serde::{Deserialize, Deserializer};

use crate::Api;
use crate::error::ApiError;
use crate::request::fields::{LAST_SECOND, Whole};
use crate::request::shortened;

/// More jobs than this at once are no limit.
const MOST_IN_FLIGHT: i64 = 1_000_000;

/// A name for people.
pub(crate) fn name(sent: &str) -> Result<String, ApiError> {
    let count = sent.chars().count();
    if (1..=128).contains(&count) {
        return Ok(sent.to_owned());
    }
    Err(ApiError::validation(
        "name",
        format!("{count} characters were sent; allowed are 1 to 128"),
    ))
}

pub(crate) fn role(word: &str) -> Result<Role, ApiError> {
    Role::parse(word).ok_or_else(|| {
        let allowed = Role::ALL.map(Role::as_str).join(", ");
        not_a_word("role", word, &allowed)
    })
}

pub(crate) fn limit_reset(word: &str) -> Result<LimitReset, ApiError> {
    LimitReset::parse(word).ok_or_else(|| {
        let allowed = LimitReset::ALL.map(LimitReset::as_str).join(", ");
        not_a_word("limit_reset", word, &allowed)
    })
}

pub(crate) fn expires_at(api: &Api, sent: Whole) -> Result<UnixTime, ApiError> {
    let now = api.engine.now().seconds();
    if (now + 1..=LAST_SECOND).contains(&sent.0) {
        return Ok(UnixTime::from_seconds(sent.0));
    }
    Err(ApiError::validation(
        "expires_at",
        format!(
            "{} was sent; allowed are unix seconds later than now ({now}) up to {LAST_SECOND}",
            sent.0
        ),
    ))
}

pub(crate) fn max_in_flight(sent: Whole) -> Result<u32, ApiError> {
    match u32::try_from(sent.0) {
        Ok(most) if (1..=MOST_IN_FLIGHT).contains(&sent.0) => Ok(most),
        _ => Err(ApiError::validation(
            "max_in_flight",
            format!(
                "{} was sent; allowed are whole numbers from 1 to {MOST_IN_FLIGHT}",
                sent.0
            ),
        )),
    }
}

pub(crate) fn workspace_id(text: &str) -> Result<WorkspaceId, ApiError> {
    text.parse()
        .map_err(|error| ApiError::bad_id("workspace_id", &error))
}

/// Tells a field that is null, to be taken away, from one that is not there, to be left alone.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}

fn not_a_word(field: &str, sent: &str, allowed: &str) -> ApiError {
    ApiError::validation(
        field,
        format!("{:?} was sent; allowed are {allowed}", shortened(sent)),
    )
}
