//! The `ETag` of a status, and whether a client has it already.
//!
//! It is made of what the answer is made of: the job at one version, the link bucket, and the configured origin (a
//! job's own origin never changes). So it is known from the version alone, before the job is read.

use filmgate_core::id::VideoId;
use http::HeaderMap;
use http::header::IF_NONE_MATCH;
use sha2::{Digest, Sha256};

/// Grows with every release that shows a job otherwise than the one before: what a client kept from that is not the same
/// answer.
const WRITING: u8 = 1;

/// Strong, in its quotes.
pub(crate) fn of_status(
    id: VideoId,
    version: u64,
    bucket: i64,
    public_url: Option<&str>,
) -> String {
    let mut hash = Sha256::new();
    hash.update([WRITING]);
    hash.update(id.uuid().as_bytes());
    hash.update(version.to_be_bytes());
    hash.update(bucket.to_be_bytes());
    hash.update(public_url.unwrap_or_default());
    format!("\"{}\"", hex::encode(&hash.finalize()[..16]))
}

/// Whether `If-None-Match` names `etag`: a list, compared weakly, or `*`.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use filmgate_core::time::UnixTime;

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_not() {
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, value.parse().unwrap());
            is_known(&headers, "\"abc\"")
        };
        for value in [
            "\"abc\"",
            "W/\"abc\"",
            "\"x\", \"abc\"",
            "*",
            "\"x\",W/\"abc\"",
        ] {
            assert!(known(value), "{value}");
        }
        for value in ["\"ab\"", "abc", "\"x\"", ""] {
            assert!(!known(value), "{value}");
        }
    }

    #[test]
    fn every_part_of_the_answer_changes_the_tag() {
        let id = VideoId::mint(UnixTime::from_seconds(1), [1; 10]);
        let tag = of_status(id, 1, 450, None);
        assert_eq!(tag, of_status(id, 1, 450, None));
        for other in [
            of_status(id, 2, 450, None),
            of_status(id, 1, 900, None),
            of_status(id, 1, 450, Some("https://x")),
        ] {
            assert_ne!(tag, other);
        }
    }
}
