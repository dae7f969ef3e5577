//! Why a call about a job, a key or a workspace did not come off, as HTTP.

use filmgate_assets::read::ReadError;
use filmgate_assets::signed_link::LinkError;
use filmgate_engine::credits::CreditError;
use filmgate_engine::keys::KeyError;
use filmgate_engine::operator::Conflict;
use filmgate_engine::provider_keys::ProviderKeyError;
use filmgate_engine::{AdmitError, CancelError, DeleteError, ParkedError, RetryError};

use super::ApiError;
use crate::request::shortened;

impl From<CancelError> for ApiError {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::NotFound => Self::no_video(),
            CancelError::Deleted => Self::video_deleted(),
            CancelError::Terminal(_) => Self::validation("video_id", error.to_string())
                .reason("video_cancel_requires_non_terminal_status"),
            CancelError::Store(store) => store.into(),
        }
    }
}

impl From<DeleteError> for ApiError {
    fn from(error: DeleteError) -> Self {
        match error {
            DeleteError::NotFound => Self::no_video(),
            DeleteError::Deleted => Self::video_deleted(),
            DeleteError::NotTerminal(_) => Self::validation("video_id", error.to_string())
                .reason("video_delete_requires_terminal_status"),
            DeleteError::Store(store) => store.into(),
        }
    }
}

impl From<RetryError> for ApiError {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::NotFound => Self::no_video(),
            RetryError::Deleted => Self::video_deleted(),
            RetryError::NotEnded(_) => Self::validation("video_id", error.to_string())
                .reason("video_retry_requires_unsuccessful_status"),
            RetryError::InputsExpired { inputs } => {
                (0..inputs).fold(Self::asset_expired(error.to_string()), |error, at| {
                    let gone = "its bytes are gone; send it again in a new request";
                    error.detail(format!("input_references[{at}]"), gone)
                })
            }
            RetryError::Input(_) => Self::internal(&error),
            RetryError::Admit(admit) => admit.into(),
            RetryError::Store(store) => store.into(),
        }
    }
}

impl From<ParkedError> for ApiError {
    fn from(error: ParkedError) -> Self {
        match error {
            ParkedError::NotParked => Self::not_parked(),
            ParkedError::Store(store) => store.into(),
        }
    }
}

impl From<LinkError> for ApiError {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::BadSignature => Self::forbidden(error.to_string()).reason("bad_signature"),
            LinkError::Expired => Self::link_expired(error.to_string()),
        }
    }
}

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        if error.may_pass() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "stored bytes cannot be read just now"
            );
            return Self::overloaded("the bytes cannot be read just now");
        }
        Self::internal(&error)
    }
}

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::UnknownWorkspace(_) => Self::validation("workspace_id", error.to_string()),
            KeyError::NameTaken(_) => Self::validation("name", error.to_string()),
            KeyError::NotFound => Self::no_key(),
            KeyError::Revoked => {
                Self::validation("key_id", error.to_string()).reason("key_revoked")
            }
            KeyError::ResetWithoutLimit(_) => Self::validation(
                "limit_reset",
                "it was sent for a key without a limit; set limit too, or leave limit_reset out",
            ),
            KeyError::Conflict(conflict) => conflict.into(),
            KeyError::Malformed => Self::internal(&error),
            KeyError::Store(store) => store.into(),
        }
    }
}

impl From<ProviderKeyError> for ApiError {
    fn from(error: ProviderKeyError) -> Self {
        let said = error.to_string();
        match error {
            ProviderKeyError::UnknownWorkspace(_) => Self::validation("workspace_id", said),
            ProviderKeyError::UnknownProvider { sent, configured } => {
                let names: Vec<&str> = configured.iter().map(|name| name.0.as_str()).collect();
                let told = format!(
                    "{:?} was sent; allowed are the providers that are configured here: {}",
                    shortened(&sent.0),
                    names.join(", ")
                );
                Self::validation("provider", told)
            }
            ProviderKeyError::NoCredential(_) => Self::validation("secret", said),
            ProviderKeyError::Exists(_) => {
                Self::validation("provider", said).reason("provider_key_exists")
            }
            ProviderKeyError::NotFound => Self::no_provider_key(),
            ProviderKeyError::Deleted => {
                Self::validation("provider_key_id", said).reason("provider_key_deleted")
            }
            ProviderKeyError::Conflict(conflict) => conflict.into(),
            ProviderKeyError::Store(store) => store.into(),
        }
    }
}

impl From<CreditError> for ApiError {
    fn from(error: CreditError) -> Self {
        match error {
            CreditError::UnknownWorkspace(_) => Self::no_workspace(),
            CreditError::Conflict(conflict) => conflict.into(),
            CreditError::Store(store) => store.into(),
        }
    }
}

impl From<Conflict> for ApiError {
    fn from(_: Conflict) -> Self {
        AdmitError::IdempotencyConflict.into()
    }
}
