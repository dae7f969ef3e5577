//! Keys and workspaces: making them, and telling who holds one.
//!
//! Not here: which call needs which role (`api`).

use std::time::Duration;

use filmgate_core::action::ActionKind;
use filmgate_core::calendar::LimitReset;
use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::key::{
    Key, KeyChange, KeyTerms, KeyText, OutOfForce, ResetWithoutLimit, Role, Workspace,
};
use filmgate_core::money::Nanos;
use filmgate_core::provider::Secret;
use filmgate_core::time::UnixTime;
use filmgate_store::{Inserted, Once, StoreError, StoredKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::operator::{Conflict, Made, Operator, same_body};
use crate::{Engine, entropy};

/// The workspace of the first key.
pub const DEFAULT_WORKSPACE: &str = "default";

/// The name of the key that commands use on a gateway in their own process. It is nobody's first key.
pub const COMMAND_LINE: &str = "command line";

/// A key with a secret that was just made. Its text is shown once and cannot be shown again.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub key: Key,
    pub text: Secret,
}

/// Who a key's text belongs to.
#[derive(Debug, Clone)]
pub enum Login {
    Genuine(Key),
    /// The secret is right, and the key opens nothing now.
    OutOfForce(OutOfForce),
    /// No key, or a wrong secret; whether there is a key of that kid.
    Wrong {
        kid_exists: bool,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("there is no workspace {0}")]
    UnknownWorkspace(WorkspaceId),
    #[error("a workspace is called {0} already")]
    NameTaken(String),
    #[error("there is no such key")]
    NotFound,
    #[error("a revoked key is never in force again; make another")]
    Revoked,
    #[error(transparent)]
    ResetWithoutLimit(#[from] ResetWithoutLimit),
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error(
        "the bootstrap key is not of the form fg_<kid>_<secret>: kid [a-z0-9]{{1,26}}, secret [A-Za-z0-9_-]{{32,128}}"
    )]
    Malformed,
    #[error("the job store failed")]
    Store(#[from] StoreError),
}

/// How the first start came by its first key.
#[derive(Debug, Clone)]
pub enum Bootstrap {
    /// Made now, to be shown once.
    Made(NewKey),
    /// The one from the environment.
    Given(Key),
    /// There were keys before.
    Unneeded,
}

impl Engine {
    /// Who holds this key.
    pub async fn authenticate(&self, text: &str) -> Result<Login, StoreError> {
        let Some(KeyText { kid, secret }) = KeyText::parse(text) else {
            return Ok(Login::Wrong { kid_exists: false });
        };
        let Some(stored) = self.0.store.find_key(kid).await? else {
            return Ok(Login::Wrong { kid_exists: false });
        };
        let now = self.now();
        if !proves(&stored, &digest(secret), now) {
            return Ok(Login::Wrong { kid_exists: true });
        }
        Ok(match stored.key.in_force(now) {
            Ok(()) => Login::Genuine(stored.key),
            Err(why) => Login::OutOfForce(why),
        })
    }

    pub async fn create_key(
        &self,
        workspace: WorkspaceId,
        terms: KeyTerms,
        operator: &Operator,
    ) -> Result<Made<NewKey, Key>, KeyError> {
        let terms = terms.checked()?;
        if self.0.store.find_workspace(workspace).await?.is_none() {
            return Err(KeyError::UnknownWorkspace(workspace));
        }
        loop {
            let id = KeyId::mint(self.now(), entropy::draw());
            let secret = crate::hex_of(&entropy::secret());
            let made = self
                .keep_key(id, id.suffix(), &secret, workspace, terms.clone(), operator)
                .await?;
            if let Some(made) = made {
                return Ok(made);
            }
        }
    }

    /// `None` if the kid is taken.
    async fn keep_key(
        &self,
        id: KeyId,
        kid: String,
        secret: &str,
        workspace: WorkspaceId,
        terms: KeyTerms,
        operator: &Operator,
    ) -> Result<Option<Made<NewKey, Key>>, KeyError> {
        let text = Secret::new(format!("fg_{kid}_{secret}"));
        let deed = self.deed(
            operator,
            ActionKind::KeyCreated,
            workspace,
            id.to_string(),
            told(&terms),
        );
        let key = Key {
            id,
            kid,
            workspace,
            terms,
            created_at: self.now(),
            revoked_at: None,
            previous_until: None,
        };
        let stored = StoredKey {
            key: key.clone(),
            secret_sha256: digest(secret),
            previous_sha256: None,
        };
        let binding = deed.binding.clone();
        match self.0.store.insert_key(stored, deed).await? {
            Once::Done(Inserted::New) => {
                tracing::info!(key.id = %id, workspace.id = %workspace, "key {id} is made");
                Ok(Some(Made::New(NewKey { key, text })))
            }
            Once::Done(Inserted::Exists) => Ok(None),
            Once::AlreadyBound(bound) => {
                let object = same_body(binding.as_ref(), bound)?;
                Ok(Some(Made::Replayed(self.bound_key(&object).await?)))
            }
        }
    }

    /// Changes some of a key's terms. A change of nothing leaves no line in the log.
    pub async fn change_key(
        &self,
        key: &Key,
        change: KeyChange,
        operator: &Operator,
    ) -> Result<Key, KeyError> {
        if key.revoked_at.is_some() {
            return Err(KeyError::Revoked);
        }
        if change == KeyChange::default() {
            return Ok(key.clone());
        }
        let deed = self.deed(
            operator,
            ActionKind::KeyUpdated,
            key.workspace,
            key.id.to_string(),
            told_change(&change),
        );
        let changed = self
            .0
            .store
            .change_key(key.id, change, self.now(), deed)
            .await?;
        let changed = changed.ok_or(KeyError::NotFound)??;
        tracing::info!(key.id = %key.id, "key {} is changed", key.id);
        Ok(changed)
    }

    /// Gives the key a new secret. The one it has works for `overlap` longer; one before that ends now.
    pub async fn rotate_key(
        &self,
        key: &Key,
        overlap: Duration,
        operator: &Operator,
    ) -> Result<Made<NewKey, Key>, KeyError> {
        let secret = crate::hex_of(&entropy::secret());
        let detail = json!({ "key": key.id.to_string(), "overlap_seconds": overlap.as_secs() });
        let deed = self.deed(
            operator,
            ActionKind::KeyRotated,
            key.workspace,
            key.id.to_string(),
            detail,
        );
        let binding = deed.binding.clone();
        let until = self.now().plus(overlap);
        let rotated = self
            .0
            .store
            .rotate_key(key.id, digest(&secret), until, deed)
            .await?;
        match rotated {
            Once::Done(Some(key)) => {
                let text = Secret::new(format!("fg_{}_{secret}", key.kid));
                tracing::info!(key.id = %key.id, "key {} has a new secret", key.id);
                Ok(Made::New(NewKey { key, text }))
            }
            Once::Done(None) => Err(KeyError::Revoked),
            Once::AlreadyBound(bound) => {
                let object = same_body(binding.as_ref(), bound)?;
                Ok(Made::Replayed(self.bound_key(&object).await?))
            }
        }
    }

    /// Stops its calls at once and for ever.
    pub async fn revoke_key(&self, key: &Key, operator: &Operator) -> Result<Key, KeyError> {
        let deed = self.deed(
            operator,
            ActionKind::KeyRevoked,
            key.workspace,
            key.id.to_string(),
            json!({}),
        );
        let revoked = self.0.store.revoke_key(key.id, self.now(), deed).await?;
        tracing::info!(key.id = %key.id, "key {} is revoked", key.id);
        revoked.ok_or(KeyError::NotFound)
    }

    async fn bound_key(&self, object: &str) -> Result<Key, KeyError> {
        let key = match object.parse() {
            Ok(id) => self.0.store.load_key(id).await?,
            Err(_) => None,
        };
        key.ok_or_else(|| StoreError::Corrupt(format!("a binding names key {object}")).into())
    }

    pub async fn create_workspace(
        &self,
        name: String,
        operator: &Operator,
    ) -> Result<Made<Workspace>, KeyError> {
        let now = self.now();
        let workspace = Workspace {
            id: WorkspaceId::mint(now, entropy::draw()),
            name,
            created_at: now,
        };
        let detail = json!({ "name": workspace.name });
        let mut deed = self.deed(
            operator,
            ActionKind::WorkspaceCreated,
            workspace.id,
            workspace.id.to_string(),
            detail.clone(),
        );
        if let Some(binding) = &mut deed.binding {
            // The id is new with each request; the body is the name alone.
            binding.digest = digest(&detail.to_string());
        }
        let binding = deed.binding.clone();
        match self
            .0
            .store
            .insert_workspace(workspace.clone(), deed)
            .await?
        {
            Once::Done(Inserted::New) => {
                tracing::info!(workspace.id = %workspace.id, "workspace {} is made", workspace.id);
                Ok(Made::New(workspace))
            }
            Once::Done(Inserted::Exists) => Err(KeyError::NameTaken(workspace.name)),
            Once::AlreadyBound(bound) => {
                let object = same_body(binding.as_ref(), bound)?;
                let found = match object.parse() {
                    Ok(id) => self.0.store.find_workspace(id).await?,
                    Err(_) => None,
                };
                found.map(Made::Replayed).ok_or_else(|| {
                    StoreError::Corrupt(format!("a binding names workspace {object}")).into()
                })
            }
        }
    }

    /// On an empty store, makes the workspace `default` and its first key, an admin's: `given`, or one of
    /// ours.
    pub async fn bootstrap(&self, given: Option<&Secret>) -> Result<Bootstrap, KeyError> {
        let keys = self.0.store.keys(None).await?;
        if keys.iter().any(|key| key.terms.name != COMMAND_LINE) {
            return Ok(Bootstrap::Unneeded);
        }
        let workspace = self.default_workspace().await?;
        let terms = KeyTerms::new("first key", Role::Admin);
        // Of several processes that start on an empty store one makes it.
        let operator = Operator {
            idempotency: Some(("bootstrap", "first key".to_owned())),
            ..Operator::default()
        };
        let Some(given) = given else {
            return match self.create_key(workspace, terms, &operator).await? {
                Made::New(made) => Ok(Bootstrap::Made(made)),
                Made::Replayed(_) => Ok(Bootstrap::Unneeded),
            };
        };
        let KeyText { kid, secret } = KeyText::parse(given.expose()).ok_or(KeyError::Malformed)?;
        let id = KeyId::mint(self.now(), entropy::draw());
        let made = self
            .keep_key(id, kid.to_owned(), secret, workspace, terms, &operator)
            .await?;
        match made {
            Some(Made::New(made)) => Ok(Bootstrap::Given(made.key)),
            Some(Made::Replayed(_)) | None => Ok(Bootstrap::Unneeded),
        }
    }

    /// The workspace of the first key; made now if there is none.
    pub async fn default_workspace(&self) -> Result<WorkspaceId, KeyError> {
        loop {
            let all = self.0.store.workspaces().await?;
            let mut all = all.iter();
            if let Some(found) = all.find(|workspace| workspace.name == DEFAULT_WORKSPACE) {
                return Ok(found.id);
            }
            let name = DEFAULT_WORKSPACE.to_owned();
            match self.create_workspace(name, &Operator::default()).await {
                Ok(Made::New(made) | Made::Replayed(made)) => return Ok(made.id),
                // Another process was quicker.
                Err(KeyError::NameTaken(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether `secret` is the key's, or the one before it while that works.
fn proves(stored: &StoredKey, secret: &[u8; 32], now: UnixTime) -> bool {
    let current: bool = stored.secret_sha256.ct_eq(secret).into();
    let overlap = stored.key.previous_until.is_some_and(|until| now < until);
    let previous = match &stored.previous_sha256 {
        Some(previous) if overlap => previous.ct_eq(secret).into(),
        _ => false,
    };
    current || previous
}

/// Terms as the log tells them.
fn told(terms: &KeyTerms) -> Value {
    json!({
        "name": terms.name,
        "role": terms.role.as_str(),
        "limit": terms.limit.map(|limit| limit.to_string()),
        "limit_reset": terms.limit_reset.map(LimitReset::as_str),
        "expires_at": terms.expires_at.map(UnixTime::seconds),
        "disabled": terms.disabled,
        "max_in_flight": terms.max_in_flight,
    })
}

/// What a change names, and nothing else.
fn told_change(change: &KeyChange) -> Value {
    let mut told = serde_json::Map::new();
    let mut tell = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            told.insert(name.to_owned(), value);
        }
    };
    tell("name", change.name.as_ref().map(|name| json!(name)));
    tell("role", change.role.map(|role| json!(role.as_str())));
    let limit = |limit: Option<Nanos>| json!(limit.map(|limit| limit.to_string()));
    tell("limit", change.limit.map(limit));
    let reset = |reset: Option<LimitReset>| json!(reset.map(LimitReset::as_str));
    tell("limit_reset", change.limit_reset.map(reset));
    let expiry = |at: Option<UnixTime>| json!(at.map(UnixTime::seconds));
    tell("expires_at", change.expires_at.map(expiry));
    tell("disabled", change.disabled.map(|disabled| json!(disabled)));
    tell(
        "max_in_flight",
        change.max_in_flight.map(|most| json!(most)),
    );
    Value::Object(told)
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
