//! Funds: what operators put in and take out.

use filmgate_core::action::ActionKind;
use filmgate_core::id::WorkspaceId;
use filmgate_core::money::Delta;
use filmgate_store::{Once, StoreError, StoredPosting};
use serde_json::json;

use crate::Engine;
use crate::operator::{Conflict, Made, Operator, same_body};

#[derive(Debug, thiserror::Error)]
pub enum CreditError {
    #[error("there is no workspace {0}")]
    UnknownWorkspace(WorkspaceId),
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error("the job store failed")]
    Store(#[from] StoreError),
}

impl Engine {
    /// Puts `amount` into the workspace's available funds, or takes it out where it is negative; they may fall
    /// below zero, and no hold fits until they have risen again.
    pub async fn post_credit(
        &self,
        workspace: WorkspaceId,
        amount: Delta,
        reason: &str,
        operator: &Operator,
    ) -> Result<Made<StoredPosting>, CreditError> {
        let store = self.store();
        if store.find_workspace(workspace).await?.is_none() {
            return Err(CreditError::UnknownWorkspace(workspace));
        }
        let detail = json!({ "amount": amount.to_string(), "reason": reason });
        let deed = self.deed(
            operator,
            ActionKind::CreditsPosted,
            workspace,
            String::new(),
            detail,
        );
        let binding = deed.binding.clone();
        match store.post_credit(workspace, amount, reason, deed).await? {
            Once::Done(posting) => {
                tracing::info!(workspace.id = %workspace, amount.nanos = amount.0, "workspace {workspace} is credited {amount} USD");
                Ok(Made::New(posting))
            }
            Once::AlreadyBound(bound) => {
                let number = same_body(binding.as_ref(), bound)?;
                let posting = match number.parse() {
                    Ok(number) => store.find_posting(number).await?,
                    Err(_) => None,
                };
                posting.map(Made::Replayed).ok_or_else(|| {
                    StoreError::Corrupt(format!("a binding names posting {number}")).into()
                })
            }
        }
    }
}
