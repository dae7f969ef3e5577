//! Keys and workspaces: making them, and telling who holds one.
//!
//! Not here: which call needs which role (`api`).

use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::key::{Key, KeyText, Role, Workspace};
use filmgate_core::provider::Secret;
use filmgate_store::{Inserted, StoreError, StoredKey};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Engine, entropy};

/// The workspace of the first key.
pub const DEFAULT_WORKSPACE: &str = "default";

/// The name of the key that commands use on a gateway in their own process. It is nobody's first key.
pub const COMMAND_LINE: &str = "command line";

/// A key that was just made. Its text is shown once and cannot be shown again.
#[derive(Debug, Clone)]
pub struct NewKey {
    pub key: Key,
    pub text: Secret,
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("there is no workspace {0}")]
    UnknownWorkspace(WorkspaceId),
    #[error("a workspace is called {0} already")]
    NameTaken(String),
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
    /// Who holds this key; `None` for whatever is not a key in force.
    pub async fn authenticate(&self, text: &str) -> Result<Option<Key>, StoreError> {
        let Some(KeyText { kid, secret }) = KeyText::parse(text) else {
            return Ok(None);
        };
        let Some(stored) = self.0.store.find_key(kid).await? else {
            return Ok(None);
        };
        let genuine: bool = stored.secret_sha256.ct_eq(&digest(secret)).into();
        Ok((genuine && stored.key.revoked_at.is_none()).then_some(stored.key))
    }

    pub async fn create_key(
        &self,
        workspace: WorkspaceId,
        name: String,
        role: Role,
    ) -> Result<NewKey, KeyError> {
        if self.0.store.find_workspace(workspace).await?.is_none() {
            return Err(KeyError::UnknownWorkspace(workspace));
        }
        loop {
            let now = self.now();
            let id = KeyId::mint(now, entropy::draw());
            let secret = crate::hex_of(&entropy::secret());
            let kid = id.suffix();
            let text = Secret::new(format!("fg_{kid}_{secret}"));
            let key = Key {
                id,
                kid,
                workspace,
                name: name.clone(),
                role,
                created_at: now,
                revoked_at: None,
            };
            let stored = StoredKey {
                key: key.clone(),
                secret_sha256: digest(&secret),
            };
            if self.0.store.insert_key(stored).await? == Inserted::New {
                return Ok(NewKey { key, text });
            }
        }
    }

    pub async fn create_workspace(&self, name: String) -> Result<Workspace, KeyError> {
        let now = self.now();
        let workspace = Workspace {
            id: WorkspaceId::mint(now, entropy::draw()),
            name,
            created_at: now,
        };
        match self.0.store.insert_workspace(workspace.clone()).await? {
            Inserted::New => Ok(workspace),
            Inserted::Exists => Err(KeyError::NameTaken(workspace.name)),
        }
    }

    /// On an empty store, makes the workspace `default` and its first key, an admin's: `given`, or one of
    /// ours.
    pub async fn bootstrap(&self, given: Option<&Secret>) -> Result<Bootstrap, KeyError> {
        let keys = self.0.store.keys(None).await?;
        if keys.iter().any(|key| key.name != COMMAND_LINE) {
            return Ok(Bootstrap::Unneeded);
        }
        let workspace = self.default_workspace().await?;
        let name = "first key".to_owned();
        let Some(given) = given else {
            return Ok(Bootstrap::Made(
                self.create_key(workspace, name, Role::Admin).await?,
            ));
        };
        let KeyText { kid, secret } = KeyText::parse(given.expose()).ok_or(KeyError::Malformed)?;
        let now = self.now();
        let id = KeyId::mint(now, entropy::draw());
        let key = Key {
            id,
            kid: kid.to_owned(),
            workspace,
            name,
            role: Role::Admin,
            created_at: now,
            revoked_at: None,
        };
        let stored = StoredKey {
            key: key.clone(),
            secret_sha256: digest(secret),
        };
        self.0.store.insert_key(stored).await?;
        Ok(Bootstrap::Given(key))
    }

    /// The workspace of the first key; made now if there is none.
    pub async fn default_workspace(&self) -> Result<WorkspaceId, KeyError> {
        let all = self.0.store.workspaces().await?;
        match all
            .iter()
            .find(|workspace| workspace.name == DEFAULT_WORKSPACE)
        {
            Some(workspace) => Ok(workspace.id),
            None => Ok(self
                .create_workspace(DEFAULT_WORKSPACE.to_owned())
                .await?
                .id),
        }
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
