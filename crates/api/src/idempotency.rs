//! The `Idempotency-Key` header.
//!
//! Not here: what a key is bound to and what a replay finds (`engine::admission`).

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
}
