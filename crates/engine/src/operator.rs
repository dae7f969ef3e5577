//! Changes that only operators make: who makes one, its line in the log, and its idempotency key.

use std::time::Duration;

use filmgate_core::action::{Action, ActionKind};
use filmgate_core::id::{ActionId, WorkspaceId};
use filmgate_store::{Binding, Bound, Deed};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Caller, Engine, entropy};

/// How long an idempotency key stays bound.
pub(crate) const BINDING_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Who makes a change, and how it was asked for.
#[derive(Debug, Clone, Default)]
pub struct Operator {
    /// `None`: the gateway itself, at its first start.
    pub caller: Option<Caller>,
    pub request_id: Option<String>,
    /// The route's name, such as `keys.create`, and the client's key.
    pub idempotency: Option<(&'static str, String)>,
}

/// What came of a change that makes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made<New, Before = New> {
    New(New),
    /// The idempotency key made it before: as it is now.
    Replayed(Before),
}

/// The idempotency key was used with another body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the idempotency key was used with another body")]
pub struct Conflict;

impl Engine {
    /// `detail` is what was asked for: it stands in the log, and tells one body from another.
    pub(crate) fn deed(
        &self,
        operator: &Operator,
        kind: ActionKind,
        workspace: WorkspaceId,
        object: String,
        detail: Value,
    ) -> Deed {
        let at = self.now();
        let binding = operator.idempotency.as_ref().map(|(route, key)| Binding {
            workspace: operator.caller.map_or(workspace, |caller| caller.workspace),
            route: (*route).to_owned(),
            key: key.clone(),
            digest: Sha256::digest(format!("{workspace} {detail}")).into(),
            expires_at: at.plus(BINDING_LIFE),
        });
        Deed {
            action: Action {
                id: ActionId::mint(at, entropy::draw()),
                at,
                by: operator.caller.map(|caller| caller.key),
                request_id: operator.request_id.clone(),
                kind,
                workspace,
                object,
                detail,
            },
            binding,
        }
    }
}

/// What `deed`'s key is bound to, if it was bound by the same body.
pub(crate) fn same_body(binding: Option<&Binding>, bound: Bound) -> Result<String, Conflict> {
    match binding {
        Some(binding) if binding.digest != bound.digest => Err(Conflict),
        _ => Ok(bound.object),
    }
}
