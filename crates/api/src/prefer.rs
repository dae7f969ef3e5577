//! How long a client is willing to wait: `?wait=N` and `Prefer: wait=N`.

use std::time::Duration;

use http::HeaderMap;

use crate::error::ApiError;
use crate::query::Query;
use crate::request::shortened;

/// More counts as this much.
const MOST_SECONDS: u64 = 60;

/// Whole seconds a client waits at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait(u64);

impl Wait {
    pub(crate) const fn seconds(self) -> u64 {
        self.0
    }

    pub(crate) const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// `?wait=` goes before `Prefer`; what is no number of seconds is refused there and ignored here.
    pub(crate) fn of(query: &Query, headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        match query.last("wait") {
            Some(text) => seconds(text).map(Some).ok_or_else(|| {
                ApiError::validation(
                    "wait",
                    format!(
                        "{:?} was sent; allowed are whole seconds, and more than 60 count as 60",
                        shortened(text)
                    ),
                )
            }),
            None => Ok(Self::preferred(headers)),
        }
    }

    /// The first `wait` among the preferences, as RFC 7240 has it.
    pub(crate) fn preferred(headers: &HeaderMap) -> Option<Self> {
        headers
            .get_all("prefer")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split([',', ';']))
            .filter_map(|preference| preference.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
            .and_then(|(_, value)| seconds(value.trim().trim_matches('"')))
    }
}

fn seconds(text: &str) -> Option<Wait> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number too long to be read is more than sixty all the same.
    digits.then(|| Wait(text.parse().unwrap_or(u64::MAX).min(MOST_SECONDS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferred(value: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", value.parse().unwrap());
        Wait::preferred(&headers).map(Wait::seconds)
    }

    #[test]
    fn a_preference_is_found_among_others() {
        assert_eq!(preferred("wait=5"), Some(5));
        assert_eq!(preferred("respond-async, WAIT = \"7\""), Some(7));
        assert_eq!(preferred("wait=3; foo=bar"), Some(3));
        assert_eq!(preferred("wait=999999999999999999999999"), Some(60));
        for ignored in ["wait", "wait=", "wait=-1", "wait=1.5", "wait=x", "await=3"] {
            assert_eq!(preferred(ignored), None, "{ignored}");
        }
    }

    #[test]
    fn a_query_that_is_no_number_is_refused() {
        let wait = |text: &str| {
            Wait::of(&Query::read(text), &HeaderMap::new()).map(|wait| wait.map(Wait::seconds))
        };
        assert_eq!(wait("wait=61").unwrap(), Some(60));
        assert_eq!(wait("wait=0").unwrap(), Some(0));
        assert_eq!(wait("").unwrap(), None);
        assert!(wait("wait=soon").is_err());
        assert!(wait("wait=").is_err());
        assert!(wait("wait=-1").is_err());
    }
}
