//! Links straight to the bucket, so that its bytes need not go through us.
//!
//! The bucket checks them by itself: whoever has one may get that one object until it expires, whatever becomes of the
//! job meanwhile.
//!
//! Not here: our own links ([`crate::signed_link`]), who is sent to the bucket (`api`).

use std::fmt;
use std::time::Duration;

use object_store::signer::{Method, SignedUrlOptions};

use crate::{Assets, ObjectKey, Place};

/// The longest that buckets let a link last.
const MOST: Duration = Duration::from_secs(7 * 24 * 3600);

/// How the bucket is to describe the object when it is fetched by a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Described<'a> {
    pub content_type: &'a str,
    pub content_disposition: &'a str,
}

/// A link to one object in the bucket. It is a secret while it lasts, so it is not printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct BucketLink(String);

impl BucketLink {
    /// The link itself. Whoever asks answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BucketLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BucketLink(…)")
    }
}

impl Assets {
    /// A link to GET an object, or a range of it, from the bucket for as long as `lasts`, at most a week.
    ///
    /// None where there is no bucket, where `redirect` is off, or where no link can be made just now; the bytes are then
    /// to be served from here. The bucket is not asked: the object may be missing.
    pub async fn signed_get(
        &self,
        key: &ObjectKey,
        lasts: Duration,
        described: Described<'_>,
    ) -> Option<BucketLink> {
        let Place::Bucket(bucket) = &self.place else {
            return None;
        };
        let options = SignedUrlOptions::default().with_query([
            ("response-content-type", described.content_type),
            (
                "response-content-disposition",
                described.content_disposition,
            ),
        ]);
        let object = key.object();
        let lasts = lasts.min(MOST);
        let link = bucket
            .signer()?
            .signed_url_opts(Method::GET, &object, lasts, &options);
        match link.await {
            Ok(link) => Some(BucketLink(link.into())),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no link to the bucket can be made: the bytes go through this server"
                );
                None
            }
        }
    }
}
