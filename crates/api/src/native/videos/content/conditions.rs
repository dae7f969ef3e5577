//! What a client already has, and whether its range still holds (RFC 9110, section 13).

use std::time::{Duration, UNIX_EPOCH};

use http::header::{IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE};
use http::{HeaderMap, HeaderValue};

use crate::etag;

/// Whether the client has these bytes already: by `If-None-Match`, else by `If-Modified-Since`.
pub(super) fn is_unchanged(headers: &HeaderMap, etag: &str, modified: Option<i64>) -> bool {
    if headers.contains_key(IF_NONE_MATCH) {
        return etag::is_known(headers, etag);
    }
    let since = headers.get(IF_MODIFIED_SINCE).and_then(read_date);
    matches!((since, modified), (Some(since), Some(modified)) if modified <= since)
}

/// A range of something that changed meanwhile is of no use: then the whole is sent.
pub(super) fn range_holds(headers: &HeaderMap, etag: &str, modified: Option<i64>) -> bool {
    let Some(value) = headers.get(IF_RANGE) else {
        return true;
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text.starts_with('"') || text.starts_with("W/") {
        return text == etag;
    }
    read_date(value).is_some() && read_date(value) == modified
}

/// An instant as headers write it.
pub(super) fn http_date(seconds: i64) -> Option<String> {
    let since = Duration::from_secs(u64::try_from(seconds).ok()?);
    Some(httpdate::fmt_http_date(UNIX_EPOCH + since))
}

fn read_date(value: &HeaderValue) -> Option<i64> {
    let date = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_range_holds_for_the_bytes_it_was_asked_of() {
        let holds =
            |value: &str| range_holds(&headers(IF_RANGE, value), "\"a\"", Some(784_111_777));
        assert!(holds("\"a\""));
        assert!(holds("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(range_holds(&HeaderMap::new(), "\"a\"", None));
        for other in ["\"b\"", "W/\"a\"", "Sun, 06 Nov 1994 08:49:38 GMT", "soon"] {
            assert!(!holds(other), "{other}");
        }
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        let unchanged =
            |name, value: &str| is_unchanged(&headers(name, value), "\"a\"", Some(784_111_777));
        assert!(unchanged(IF_NONE_MATCH, "\"x\", \"a\""));
        assert!(!unchanged(IF_NONE_MATCH, "\"x\""));
        assert!(unchanged(
            IF_MODIFIED_SINCE,
            "Sun, 06 Nov 1994 08:49:37 GMT"
        ));
        assert!(!unchanged(
            IF_MODIFIED_SINCE,
            "Sun, 06 Nov 1994 08:49:36 GMT"
        ));
        assert!(!unchanged(IF_MODIFIED_SINCE, "yesterday"));
    }
}
