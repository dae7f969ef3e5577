//! The `Idempotency-Key` header, and what stock SDKs send in its place.
//!
//! Not here: what a key is bound to and what a replay finds (`engine::admission`).

use filmgate_core::repeat::RetryCount;
use http::HeaderMap;

use crate::error::ApiError;

/// The client's key, if it sent one: 1 to 255 visible ASCII characters.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut sent = headers.get_all("idempotency-key").iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    let fits = (1..=255).contains(&value.len())
        && value.as_bytes().iter().all(u8::is_ascii_graphic)
        && sent.next().is_none();
    match value.to_str() {
        Ok(text) if fits => Ok(Some(text.to_owned())),
        _ => Err(ApiError::validation(
            "Idempotency-Key",
            format!(
                "a header of {} bytes was sent; allowed is one header of 1 to 255 visible ASCII characters",
                value.len()
            ),
        )),
    }
}

/// How often the client says it has sent this request before. What is no count says nothing.
pub(crate) fn retry_count(headers: &HeaderMap) -> RetryCount {
    let sent = headers.get("x-stainless-retry-count");
    let count = sent.and_then(|value| value.to_str().ok()?.parse().ok());
    RetryCount(count.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_visible_ascii_is_a_key() {
        let read = |bytes: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert("idempotency-key", HeaderValue::from_bytes(bytes).unwrap());
            key(&headers)
        };
        assert_eq!(read(b"a-1").unwrap().as_deref(), Some("a-1"));
        assert_eq!(key(&HeaderMap::new()).unwrap(), None);
        assert!(read(b"").is_err());
        assert!(read(b"a b").is_err());
        assert!(read("é".as_bytes()).is_err());
        assert!(read(&[b'x'; 256]).is_err());
        assert!(read(&[b'x'; 255]).is_ok());
    }

    #[test]
    fn what_is_no_count_says_nothing() {
        let read = |text: &str| {
            let header = HeaderValue::from_str(text).unwrap();
            retry_count(&HeaderMap::from_iter([(
                http::HeaderName::from_static("x-stainless-retry-count"),
                header,
            )]))
        };
        assert_eq!(read("2"), RetryCount(2));
        for text in ["", "-1", "two", "1.0", "99999999999"] {
            assert_eq!(read(text), RetryCount(0), "{text}");
        }
        assert_eq!(retry_count(&HeaderMap::new()), RetryCount(0));
    }
}
