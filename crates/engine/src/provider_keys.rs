//! Workspaces' own credentials: keeping them sealed, telling admission of them, opening one for the job pinned to it.
//!
//! A secret is opened for each conversation and then forgotten, so that one that was rotated holds from the next message
//! on, in every process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filmgate_core::action::ActionKind;
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::id::{ProviderKeyId, WorkspaceId};
use filmgate_core::job::Job;
use filmgate_core::provider::{Credential, Secret};
use filmgate_core::provider_key::{MOST_SECRET_BYTES, ProviderKey, hint};
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use filmgate_store::{Deed, Inserted, Once, StoreError, StoredProviderKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::operator::{Conflict, Made, Operator, same_body};
use crate::upstream::Account;
use crate::{Engine, Parts, entropy};

/// What another process changed is known after this long.
const KNOWN_FOR: Duration = Duration::from_secs(2);
/// More workspaces are not remembered: whoever has more looks again.
const MOST_KNOWN: usize = 10_000;

/// A workspace's credentials in force, by provider.
pub type OwnAccounts = BTreeMap<ProviderName, ProviderKeyId>;

/// What was looked up a moment ago.
#[derive(Default)]
pub(crate) struct Known(Mutex<HashMap<WorkspaceId, (UnixTime, Arc<OwnAccounts>)>>);

#[derive(Debug, thiserror::Error)]
pub enum ProviderKeyError {
    #[error("there is no workspace {0}")]
    UnknownWorkspace(WorkspaceId),
    /// With those that are configured.
    #[error("there is no provider {sent} here")]
    UnknownProvider {
        sent: ProviderName,
        configured: Vec<ProviderName>,
    },
    /// What is allowed; never what was sent.
    #[error("{0}")]
    NoCredential(&'static str),
    #[error("the workspace has a credential for {0} already; rotate it, or delete it first")]
    Exists(ProviderName),
    #[error("there is no such provider key")]
    NotFound,
    #[error("a deleted provider key is never in force again; add another")]
    Deleted,
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error("the job store failed")]
    Store(#[from] StoreError),
}

impl Engine {
    /// Keeps `secret` for the jobs of `workspace` at `provider`.
    pub async fn add_provider_key(
        &self,
        workspace: WorkspaceId,
        provider: ProviderName,
        label: String,
        secret: &Secret,
        operator: &Operator,
    ) -> Result<Made<ProviderKey>, ProviderKeyError> {
        self.0.check_credential(&provider, secret)?;
        if self.0.store.find_workspace(workspace).await?.is_none() {
            return Err(ProviderKeyError::UnknownWorkspace(workspace));
        }
        let now = self.now();
        let id = ProviderKeyId::mint(now, entropy::draw());
        let key = ProviderKey {
            id,
            workspace,
            provider,
            label,
            hint: hint(secret.expose()),
            created_at: now,
            rotated_at: None,
            deleted_at: None,
        };
        let detail = json!({ "provider": key.provider.0, "label": key.label });
        let kind = ActionKind::ProviderKeyAdded;
        let deed = self.secret_deed(operator, kind, &key, detail, secret);
        let binding = deed.binding.clone();
        let stored = StoredProviderKey {
            sealed: Some(self.0.master.seal(&name(id), secret.expose().as_bytes())),
            key: key.clone(),
        };
        match self.0.store.insert_provider_key(stored, deed).await? {
            Once::Done(Inserted::New) => {
                self.0.own_accounts.forget(workspace);
                tracing::info!(provider_key.id = %id, workspace.id = %workspace, provider.id = %key.provider, "provider key {id} is added");
                Ok(Made::New(key))
            }
            Once::Done(Inserted::Exists) => Err(ProviderKeyError::Exists(key.provider)),
            Once::AlreadyBound(bound) => {
                let object = same_body(binding.as_ref(), bound)?;
                Ok(Made::Replayed(self.bound_provider_key(&object).await?))
            }
        }
    }

    /// Gives the key a new secret; jobs under way use it from their next message on. The old one is gone.
    pub async fn rotate_provider_key(
        &self,
        key: &ProviderKey,
        secret: &Secret,
        operator: &Operator,
    ) -> Result<Made<ProviderKey>, ProviderKeyError> {
        self.0.check_credential(&key.provider, secret)?;
        let detail = json!({ "provider_key": key.id.to_string() });
        let kind = ActionKind::ProviderKeyRotated;
        let deed = self.secret_deed(operator, kind, key, detail, secret);
        let binding = deed.binding.clone();
        let sealed = self
            .0
            .master
            .seal(&name(key.id), secret.expose().as_bytes());
        let rotated = self
            .0
            .store
            .rotate_provider_key(key.id, sealed, hint(secret.expose()), self.now(), deed)
            .await?;
        match rotated {
            Once::Done(Some(key)) => {
                tracing::info!(provider_key.id = %key.id, "provider key {} has a new secret", key.id);
                Ok(Made::New(key))
            }
            Once::Done(None) => Err(ProviderKeyError::Deleted),
            Once::AlreadyBound(bound) => {
                let object = same_body(binding.as_ref(), bound)?;
                Ok(Made::Replayed(self.bound_provider_key(&object).await?))
            }
        }
    }

    /// Deletes it: it takes no new jobs, and those that are pinned to it go on with it until their fate is known.
    pub async fn delete_provider_key(
        &self,
        key: &ProviderKey,
        operator: &Operator,
    ) -> Result<ProviderKey, ProviderKeyError> {
        let deed = self.deed(
            operator,
            ActionKind::ProviderKeyDeleted,
            key.workspace,
            key.id.to_string(),
            json!({ "provider": key.provider.0 }),
        );
        let deleted = self
            .0
            .store
            .delete_provider_key(key.id, self.now(), deed)
            .await?;
        self.0.own_accounts.forget(key.workspace);
        tracing::info!(provider_key.id = %key.id, "provider key {} is deleted", key.id);
        deleted.ok_or(ProviderKeyError::NotFound)
    }

    /// The credentials of the workspace that new jobs are pinned to, as they were a moment ago.
    pub async fn own_accounts(
        &self,
        workspace: WorkspaceId,
    ) -> Result<Arc<OwnAccounts>, StoreError> {
        let now = self.now();
        if let Some(known) = self.0.own_accounts.find(workspace, now) {
            return Ok(known);
        }
        let keys = self.0.store.provider_keys(workspace).await?;
        let in_force = keys.into_iter().filter(|key| key.deleted_at.is_none());
        let own = Arc::new(in_force.map(|key| (key.provider, key.id)).collect());
        self.0
            .own_accounts
            .remember(workspace, now, Arc::clone(&own));
        Ok(own)
    }

    /// A deed whose idempotency key is bound to the secret too, which `detail` does not tell.
    fn secret_deed(
        &self,
        operator: &Operator,
        kind: ActionKind,
        key: &ProviderKey,
        detail: Value,
        secret: &Secret,
    ) -> Deed {
        let mut deed = self.deed(operator, kind, key.workspace, key.id.to_string(), detail);
        if let Some(binding) = &mut deed.binding {
            let mut digest = Sha256::new();
            digest.update(binding.digest);
            let secret = secret.expose().as_bytes();
            digest.update(self.0.master.fingerprint(&binding.route, secret));
            binding.digest = digest.finalize().into();
        }
        deed
    }

    async fn bound_provider_key(&self, object: &str) -> Result<ProviderKey, ProviderKeyError> {
        let found = match object.parse() {
            Ok(id) => self.0.store.load_provider_key(id).await?,
            Err(_) => None,
        };
        found.map(|stored| stored.key).ok_or_else(|| {
            StoreError::Corrupt(format!("a binding names provider key {object}")).into()
        })
    }
}

impl Parts {
    fn check_credential(
        &self,
        provider: &ProviderName,
        secret: &Secret,
    ) -> Result<(), ProviderKeyError> {
        let Some(account) = self.accounts.get(provider) else {
            return Err(ProviderKeyError::UnknownProvider {
                sent: provider.clone(),
                configured: self.accounts.keys().cloned().collect(),
            });
        };
        if secret.expose().len() > MOST_SECRET_BYTES {
            return Err(ProviderKeyError::NoCredential(
                "more bytes were sent than the 16384 that are allowed",
            ));
        }
        let credential = Credential {
            secret: secret.clone(),
        };
        account
            .provider
            .check_credential(&credential)
            .map_err(ProviderKeyError::NoCredential)
    }

    /// What the job's provider is told who pays by: its workspace's own credential where it is pinned to one, never
    /// the operator's in its stead.
    pub(crate) async fn credential(
        &self,
        account: &Account,
        job: &Job,
    ) -> Result<Credential, Failure> {
        let Some(id) = job.candidate().credential else {
            return account.credential.clone().ok_or_else(|| {
                let provider = account.provider.name();
                let gone = format!("the operator has no credential for {provider} any more");
                Failure::passing(FailureCode::ProviderAuth, gone)
            });
        };
        let unreadable = |error: &dyn std::fmt::Display| {
            tracing::error!(video.id = %job.admission.id, provider_key.id = %id, %error, "provider key {id} cannot be opened");
            let why = "the workspace's own credential cannot be read just now";
            Failure::passing(FailureCode::GatewayError, why)
        };
        let stored = self.store.load_provider_key(id).await;
        let sealed = stored.map_err(|error| unreadable(&error))?;
        let Some(sealed) = sealed.and_then(|stored| stored.sealed) else {
            let gone = "the workspace's own credential was deleted";
            return Err(Failure::permanent(FailureCode::ProviderAuth, gone));
        };
        let opened = self.master.open(&name(id), &sealed);
        let opened = opened.map_err(|error| unreadable(&error))?;
        let secret = String::from_utf8(opened).map_err(|_| unreadable(&"it is no text"))?;
        Ok(Credential {
            secret: Secret::new(secret),
        })
    }
}

impl Known {
    fn find(&self, workspace: WorkspaceId, now: UnixTime) -> Option<Arc<OwnAccounts>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, own) = all.get(&workspace)?;
        (now < at.plus(KNOWN_FOR)).then(|| Arc::clone(own))
    }

    fn remember(&self, workspace: WorkspaceId, now: UnixTime, own: Arc<OwnAccounts>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_KNOWN {
            all.clear();
        }
        all.insert(workspace, (now, own));
    }

    fn forget(&self, workspace: WorkspaceId) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&workspace);
    }
}

/// What the secret is sealed under: no other row opens it.
fn name(id: ProviderKeyId) -> String {
    format!("provider-key-{id}")
}
