//! Statuses as they were written out, by their `ETag`: most polls ask for what was just shown.
//!
//! The tag names everything the answer is made of, so an entry is never stale, only no longer asked for. Which
//! version is the current one is read from the store each time; nothing here decides that.

use bytes::Bytes;
use moka::sync::Cache;

/// About ten thousand statuses.
const MOST_BYTES: u64 = 32 << 20;

/// One status, as sent.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) body: Bytes,
    /// `Retry-After`, while the video is not terminal.
    pub(crate) poll_after_seconds: Option<u32>,
}

impl Written {
    pub(crate) fn is_terminal(&self) -> bool {
        self.poll_after_seconds.is_none()
    }
}

/// Bounded by the bytes it holds. Clones share it.
#[derive(Debug, Clone)]
pub struct StatusCache(Cache<String, Written>);

impl Default for StatusCache {
    fn default() -> Self {
        let weight = |tag: &String, written: &Written| {
            u32::try_from(tag.len() + written.body.len()).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .max_capacity(MOST_BYTES)
                .weigher(weight)
                .build(),
        )
    }
}

impl StatusCache {
    pub(crate) fn find(&self, tag: &str) -> Option<Written> {
        self.0.get(tag)
    }

    pub(crate) fn keep(&self, tag: &str, written: &Written) {
        self.0.insert(tag.to_owned(), written.clone());
    }
}
