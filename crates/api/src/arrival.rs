//! What is known of a request before its body is read: its id, how we were reached, and whether it is a repeat.

use axum::extract::FromRequestParts;
use filmgate_core::repeat::RetryCount;
use filmgate_engine::Provenance;
use http::request::Parts;

use crate::error::ApiError;
use crate::origin::Origin;
use crate::request_id::ThisRequest;
use crate::{Shared, idempotency};

pub(crate) struct Arrival {
    request_id: String,
    origin: String,
    key: Option<String>,
    retry: RetryCount,
}

impl FromRequestParts<Shared> for Arrival {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let Origin(origin) = Origin::from_request_parts(parts, api).await?;
        let request_id = parts
            .extensions
            .get::<ThisRequest>()
            .map(|ThisRequest(id)| id.to_string())
            .unwrap_or_default();
        Ok(Self {
            request_id,
            origin,
            key: idempotency::key(&parts.headers)?,
            retry: idempotency::retry_count(&parts.headers),
        })
    }
}

impl Arrival {
    pub(crate) fn through(self, route: &'static str) -> Provenance {
        Provenance {
            request_id: self.request_id,
            origin: self.origin,
            route,
            idempotency_key: self.key,
            retry: self.retry,
        }
    }

    /// The request's id and its idempotency key.
    pub(crate) fn marks(self) -> (String, Option<String>) {
        (self.request_id, self.key)
    }
}
