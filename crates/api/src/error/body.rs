//! The envelope's shape.

use serde::Serialize;
use utoipa::ToSchema;

/// What every answer outside 2xx carries, unknown routes and unparsable requests included.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// One of `invalid_json`, `validation_error`, `unsupported_model_or_endpoint`, `not_supported`, `unauthorised`,
    /// `insufficient_funds`, `max_cost_exceeded`, `key_limit_exceeded`, `forbidden`, `not_found`,
    /// `method_not_allowed`, `timeout`, `not_ready`, `idempotency_conflict`, `link_expired`, `asset_expired`,
    /// `payload_too_large`, `unsupported_media_type`, `range_not_satisfiable`, `websocket_upgrade_required`,
    /// `rate_limited`, `gateway_error`, `not_implemented`, `upstream_error`, `overloaded`.
    #[schema(example = "validation_error")]
    pub(crate) error: String,
    /// The HTTP status.
    #[schema(example = 400, minimum = 400, maximum = 599)]
    pub(crate) status_code: u16,
    /// `user` or `system`.
    #[schema(example = "user")]
    pub(crate) error_type: String,
    /// `user`, `gateway` or `upstream`.
    #[schema(example = "user")]
    pub(crate) error_origin: String,
    /// Tells refusals of one code apart, such as `video_deleted`.
    pub(crate) reason: String,
    /// A sentence for people.
    pub(crate) description: String,
    /// The audit id of the job the error is about, where it is about one.
    #[schema(required)]
    pub(crate) generation_id: Option<String>,
    /// Of this request, as in `x-request-id`.
    pub(crate) request_id: String,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) details: Vec<Detail>,
}

/// One field at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Detail {
    /// Where in the request, such as `input_references[0].image_url`.
    pub(crate) path: String,
    /// What was sent and what is allowed.
    pub(crate) message: String,
}
