//! A key as shown: its terms, and how far its limits are used. Never its secret, but in the answer that made it.

use filmgate_core::calendar::LimitReset;
use filmgate_core::key::Key;
use filmgate_core::money::Nanos;
use filmgate_core::time::UnixTime;
use filmgate_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Api;

/// A key, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    id: String,
    /// Always `key`.
    object: &'static str,
    name: String,
    /// `read`, `member` or `admin`.
    role: &'static str,
    workspace_id: String,
    /// The public part of its text, between `fg_` and the secret.
    kid: String,
    created_at: i64,
    /// Null while it is in force.
    #[schema(required)]
    revoked_at: Option<i64>,
    /// From then on it opens nothing; its jobs run on.
    #[schema(required)]
    expires_at: Option<i64>,
    /// It opens nothing until it is enabled again; its jobs run on.
    disabled: bool,
    /// Until then the secret before the last rotation works too; null where none does.
    #[schema(required)]
    previous_secret_expires_at: Option<i64>,
    /// Dollars its jobs may hold and have captured since the last reset, as they are sent; null for no limit.
    #[schema(required, example = "25.00")]
    limit: Option<String>,
    /// `limit` in nano-dollars.
    #[schema(required)]
    limit_nanos: Option<i64>,
    /// `daily`, `weekly` (on Mondays) or `monthly`, at midnight UTC; null: never.
    #[schema(required)]
    limit_reset: Option<&'static str>,
    #[schema(required)]
    limit_resets_at: Option<i64>,
    /// What is left of the limit, in nano-dollars, never below 0; null for no limit.
    #[schema(required)]
    limit_remaining_nanos: Option<i64>,
    /// What its jobs hold now, in nano-dollars.
    held_nanos: i64,
    /// What its jobs have captured since the last reset, or ever where there is none, in nano-dollars.
    captured_nanos: i64,
    /// The most jobs of its own that may be under way; null for no limit.
    #[schema(required)]
    max_in_flight: Option<u32>,
    /// Jobs of its own that are under way.
    in_flight: u64,
    /// The whole key; only in the answer that made this secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    key: Option<String>,
}

impl KeyView {
    pub(crate) async fn of(api: &Api, key: Key) -> Result<Self, StoreError> {
        let now = api.engine.now();
        let terms = &key.terms;
        let standing = api.engine.store().key_standing(key.id).await?;
        let used = terms.used(&standing, now);
        let captured = used.checked_sub(standing.held).unwrap_or(Nanos::ZERO);
        let left = |limit: Nanos| limit.checked_sub(used).unwrap_or(Nanos::ZERO);
        Ok(Self {
            id: key.id.to_string(),
            object: "key",
            role: terms.role.as_str(),
            workspace_id: key.workspace.to_string(),
            created_at: key.created_at.seconds(),
            revoked_at: key.revoked_at.map(UnixTime::seconds),
            expires_at: terms.expires_at.map(UnixTime::seconds),
            disabled: terms.disabled,
            previous_secret_expires_at: key
                .previous_until
                .filter(|until| now < *until)
                .map(UnixTime::seconds),
            limit: terms.limit.map(|limit| limit.to_string()),
            limit_nanos: terms.limit.map(Nanos::get),
            limit_reset: terms.limit_reset.map(LimitReset::as_str),
            limit_resets_at: terms.resets_at(now).map(UnixTime::seconds),
            limit_remaining_nanos: terms.limit.map(|limit| left(limit).get()),
            held_nanos: standing.held.get(),
            captured_nanos: captured.get(),
            max_in_flight: terms.max_in_flight,
            in_flight: standing.in_flight,
            kid: key.kid,
            name: key.terms.name,
            key: None,
        })
    }

    /// With the whole key in it.
    pub(crate) fn with_text(self, text: &str) -> Self {
        Self {
            key: Some(text.to_owned()),
            ..self
        }
    }
}
