//! `Retry-After`: how long a server asks us to wait.

use std::time::Duration;

use http::{HeaderMap, header};

/// Seconds, or a date: the wait until then, counted from the answer's own `Date`, for there is no clock here.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(u64::from(seconds)));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let said_at = headers.get(header::DATE)?.to_str().ok()?;
    let said_at = httpdate::parse_http_date(said_at.trim()).ok()?;
    Some(until.duration_since(said_at).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn wait(retry_after: &'static str, date: Option<&'static str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(retry_after));
        if let Some(date) = date {
            headers.insert(header::DATE, HeaderValue::from_static(date));
        }
        read(&headers)
    }

    #[test]
    fn seconds_and_dates_are_read() {
        let date = Some("Mon, 23 Nov 2026 10:00:00 GMT");
        assert_eq!(wait(" 7 ", None), Some(Duration::from_secs(7)));
        assert_eq!(
            wait("Mon, 23 Nov 2026 10:01:30 GMT", date),
            Some(Duration::from_secs(90))
        );
        assert_eq!(
            wait("Mon, 23 Nov 2026 09:00:00 GMT", date),
            Some(Duration::ZERO)
        );
        assert_eq!(wait("Mon, 23 Nov 2026 10:01:30 GMT", None), None);
        assert_eq!(wait("soon", date), None);
        assert_eq!(read(&HeaderMap::new()), None);
    }
}
