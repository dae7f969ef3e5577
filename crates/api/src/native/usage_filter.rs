//! What `/v1/usage` and `/v1/activity` are asked for: whose jobs, which, and from when until when.

use std::time::Duration;

use filmgate_core::calendar::Day;
use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::time::UnixTime;
use filmgate_store::UsageFilter;

use crate::Api;
use crate::error::ApiError;
use crate::native::model_id;
use crate::query::Query;
use crate::request::fields::LAST_SECOND;
use crate::request::shortened;

/// Where `from` is not given: the last thirty days, today included.
const DEFAULT_DAYS: u64 = 30;

/// The form a list is asked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
}

pub(crate) fn read(
    api: &Api,
    query: &Query,
    workspace: Option<WorkspaceId>,
) -> Result<UsageFilter, ApiError> {
    let now = api.engine.now();
    let from = match query.last("from") {
        None => {
            let days = Duration::from_secs((DEFAULT_DAYS - 1) * 86_400);
            Day::of(now.minus(days)).start()
        }
        Some(text) => moment("from", text)?.0,
    };
    let until = match query.last("to") {
        // Nothing is settled later than now.
        None => now.plus(Duration::from_secs(1)),
        Some(text) => moment("to", text)?.1,
    };
    if until <= from {
        return Err(ApiError::validation(
            "to",
            format!(
                "it ends at {}, and from begins at {}; allowed is an end after the beginning",
                until.seconds(),
                from.seconds()
            ),
        ));
    }
    Ok(UsageFilter {
        workspace,
        key: query.last("key_id").map(key_id).transpose()?,
        model: query.last("model").map(|name| model_id(api, name)),
        provider: query.last("provider").map(str::to_owned),
        from,
        until,
    })
}

pub(crate) fn format(query: &Query) -> Result<Format, ApiError> {
    match query.last("format") {
        None | Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some(other) => Err(ApiError::validation(
            "format",
            format!("{:?} was sent; allowed are json and csv", shortened(other)),
        )),
    }
}

fn key_id(text: &str) -> Result<KeyId, ApiError> {
    text.parse()
        .map_err(|error| ApiError::bad_id("key_id", &error))
}

/// The first instant of what is meant, and the first after it: a day is meant whole, an instant begins a range or
/// ends it.
fn moment(name: &str, text: &str) -> Result<(UnixTime, UnixTime), ApiError> {
    if let Ok(day) = text.parse::<Day>() {
        return Ok((day.start(), day.end()));
    }
    match text.parse() {
        Ok(seconds) if (0..=LAST_SECOND).contains(&seconds) => {
            let at = UnixTime::from_seconds(seconds);
            Ok((at, at))
        }
        _ => Err(ApiError::validation(
            name,
            format!(
                "{:?} was sent; allowed are a UTC day YYYY-MM-DD and unix seconds",
                shortened(text)
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_meant_whole_and_an_instant_is_one() {
        let seconds = |text: &str| {
            let (start, end) = moment("from", text).unwrap();
            (start.seconds(), end.seconds())
        };
        assert_eq!(seconds("2026-11-23"), (1_795_392_000, 1_795_478_400));
        assert_eq!(seconds("1795420800"), (1_795_420_800, 1_795_420_800));
        for text in ["", "yesterday", "-1", "1795420800000000", "2026-11-31"] {
            assert!(moment("from", text).is_err(), "{text:?}");
        }
    }
}
