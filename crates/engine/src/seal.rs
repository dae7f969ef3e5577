//! Sealing: secrets that must be stored are stored encrypted under the operator's master key.
//!
//! AES-256-GCM-SIV with a random nonce in front; the name of the row is bound in, so that one sealed row
//! cannot stand in for another.

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use filmgate_assets::signed_link::{LinkKey, LinkKeys};
use filmgate_core::time::UnixTime;
use filmgate_store::{Store, StoreError};
use sha2::{Digest, Sha256};

use crate::callbacks::CallbackKey;
use crate::entropy;

const NONCE_BYTES: usize = 12;

/// Opens and seals. Losing it loses what was sealed: links in circulation, and whatever else was stored so.
#[derive(Clone)]
pub struct MasterKey(Aes256GcmSiv);

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(
        "the master key does not open what this store has sealed; start with the key the store was made with"
    )]
    WrongKey,
    #[error("the job store failed")]
    Store(#[from] StoreError),
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self(Aes256GcmSiv::new(bytes.into()))
    }

    pub fn seal(&self, name: &str, secret: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        entropy::fill(&mut nonce);
        let payload = Payload {
            msg: secret,
            aad: name.as_bytes(),
        };
        let sealed = self
            .0
            .encrypt(&Nonce::from(nonce), payload)
            .expect("a secret is far below the cipher's limit");
        [nonce.as_slice(), &sealed].concat()
    }

    /// Tells whether two secrets are the same to whoever has the key, and nothing to anybody else.
    pub(crate) fn fingerprint(&self, name: &str, secret: &[u8]) -> [u8; 32] {
        // The cipher takes a nonce twice: what is sealed is then the same where the secret is, and no more is told.
        let payload = Payload {
            msg: secret,
            aad: name.as_bytes(),
        };
        let sealed = self
            .0
            .encrypt(&Nonce::from([0; NONCE_BYTES]), payload)
            .expect("a secret is far below the cipher's limit");
        Sha256::digest(sealed).into()
    }

    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, sealed) = sealed
            .split_at_checked(NONCE_BYTES)
            .ok_or(SealError::WrongKey)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| SealError::WrongKey)?;
        let payload = Payload {
            msg: sealed,
            aad: name.as_bytes(),
        };
        self.0
            .decrypt(&Nonce::from(nonce), payload)
            .map_err(|_| SealError::WrongKey)
    }
}

/// The keys that sign links: made on first use, the same on every later start and on every replica.
pub async fn link_keys(
    store: &dyn Store,
    master: &MasterKey,
    now: UnixTime,
) -> Result<LinkKeys, SealError> {
    let secret = secret(store, master, "link-key-1", now).await?;
    Ok(LinkKeys {
        current: LinkKey { id: 1, secret },
        older: Vec::new(),
    })
}

/// The key that signs callback addresses: made on first use, as those of links are.
pub async fn callback_key(
    store: &dyn Store,
    master: &MasterKey,
    now: UnixTime,
) -> Result<CallbackKey, SealError> {
    let secret = secret(store, master, "callback-key-1", now).await?;
    Ok(CallbackKey::new(secret))
}

/// The secret that is kept under `name`, made where there is none.
async fn secret(
    store: &dyn Store,
    master: &MasterKey,
    name: &str,
    now: UnixTime,
) -> Result<[u8; 32], SealError> {
    let fresh = master.seal(name, &entropy::secret());
    let kept = store.keep_sealed(name, &fresh, now).await?;
    let secret = master.open(name, &kept)?;
    secret.try_into().map_err(|_| SealError::WrongKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_under_its_own_name_and_key_alone() {
        let master = MasterKey::new(&[7; 32]);
        let sealed = master.seal("a", b"secret");
        assert_eq!(master.open("a", &sealed).unwrap(), b"secret");
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert!(master.open("b", &sealed).is_err());
        assert!(MasterKey::new(&[8; 32]).open("a", &sealed).is_err());
        assert!(master.open("a", &sealed[..5]).is_err());
    }

    #[test]
    fn a_fingerprint_tells_secrets_apart_to_its_own_key_alone() {
        let print = |key: u8, secret: &[u8]| MasterKey::new(&[key; 32]).fingerprint("a", secret);
        assert_eq!(print(7, b"secret"), print(7, b"secret"));
        assert_ne!(print(7, b"secret"), print(7, b"secreT"));
        assert_ne!(print(7, b"secret"), print(8, b"secret"));
    }
}
