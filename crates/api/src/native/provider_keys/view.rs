//! A provider key as shown: never its secret.

use filmgate_core::provider_key::ProviderKey;
use filmgate_core::time::UnixTime;
use serde::Serialize;
use utoipa::ToSchema;

/// A workspace's own credential at a provider, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderKeyView {
    id: String,
    /// Always `provider_key`.
    object: &'static str,
    workspace_id: String,
    provider: String,
    label: String,
    /// The last characters of the secret, 4 at most; empty where they would show too much of it.
    hint: String,
    created_at: i64,
    #[schema(required)]
    rotated_at: Option<i64>,
    /// From then on it takes no new jobs; those that were pinned to it go on with it. Null while it is in force.
    #[schema(required)]
    deleted_at: Option<i64>,
}

impl From<ProviderKey> for ProviderKeyView {
    fn from(key: ProviderKey) -> Self {
        Self {
            id: key.id.to_string(),
            object: "provider_key",
            workspace_id: key.workspace.to_string(),
            provider: key.provider.0,
            label: key.label,
            hint: key.hint,
            created_at: key.created_at.seconds(),
            rotated_at: key.rotated_at.map(UnixTime::seconds),
            deleted_at: key.deleted_at.map(UnixTime::seconds),
        }
    }
}
