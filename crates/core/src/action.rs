//! What operators do to keys, workspaces, funds and stuck jobs, as their log keeps it.

use serde_json::Value;

use crate::id::{ActionId, KeyId, WorkspaceId};
use crate::time::UnixTime;

/// One line of the log: written in the transaction of the change it tells of, and never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub id: ActionId,
    pub at: UnixTime,
    /// The key that did it; `None` for what the gateway does itself at its first start.
    pub by: Option<KeyId>,
    pub request_id: Option<String>,
    pub kind: ActionKind,
    /// The workspace it was done to.
    pub workspace: WorkspaceId,
    /// The id of what was changed, or the number of the posting that was made. Empty until the store has given one.
    pub object: String,
    /// What was asked for; never a secret.
    pub detail: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActionKind {
    KeyCreated,
    KeyUpdated,
    KeyRotated,
    KeyRevoked,
    ProviderKeyAdded,
    ProviderKeyRotated,
    ProviderKeyDeleted,
    WorkspaceCreated,
    CreditsPosted,
    JobUnparked,
    JobEnded,
}

impl ActionKind {
    pub const ALL: [Self; 11] = [
        Self::KeyCreated,
        Self::KeyUpdated,
        Self::KeyRotated,
        Self::KeyRevoked,
        Self::ProviderKeyAdded,
        Self::ProviderKeyRotated,
        Self::ProviderKeyDeleted,
        Self::WorkspaceCreated,
        Self::CreditsPosted,
        Self::JobUnparked,
        Self::JobEnded,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyCreated => "key.created",
            Self::KeyUpdated => "key.updated",
            Self::KeyRotated => "key.rotated",
            Self::KeyRevoked => "key.revoked",
            Self::ProviderKeyAdded => "provider_key.added",
            Self::ProviderKeyRotated => "provider_key.rotated",
            Self::ProviderKeyDeleted => "provider_key.deleted",
            Self::WorkspaceCreated => "workspace.created",
            Self::CreditsPosted => "credits.posted",
            Self::JobUnparked => "job.unparked",
            Self::JobEnded => "job.ended",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
