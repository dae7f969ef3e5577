//! Tokens that are good for a while, kept until shortly before they expire.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filmgate_core::failure::Failure;
use filmgate_core::provider::{Credential, Token};
use filmgate_core::time::UnixTime;
use sha2::{Digest, Sha256};

use crate::upstream::Account;

/// A token is renewed so long before its end, or in the last quarter of a short life.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);
/// More are not kept: whoever has more credentials than this asks again.
const MOST_KEPT: usize = 10_000;

/// By account and credential, whose digest stands for it: a rotated credential finds nothing of the old one's.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<[u8; 32], Place>>);

/// Whoever holds the lock asks; the others wait for what comes of it.
type Place = Arc<tokio::sync::Mutex<Option<Kept>>>;

struct Kept {
    token: Token,
    /// `None`: it does not expire.
    good_until: Option<UnixTime>,
}

impl Tokens {
    /// The token that is kept, or what `fresh` brings.
    pub(crate) async fn of(
        &self,
        account: &Account,
        credential: &Credential,
        now: UnixTime,
        fresh: impl Future<Output = Result<Token, Failure>>,
    ) -> Result<Token, Failure> {
        let place = self.place(account, credential);
        let mut kept = place.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_good(now)) {
            return Ok(kept.token.clone());
        }
        let token = fresh.await?;
        let good_until = token.expires_in.map(|life| {
            let before = RENEWED_BEFORE.min(life / 4);
            now.plus(life - before)
        });
        *kept = Some(Kept {
            token: token.clone(),
            good_until,
        });
        Ok(token)
    }

    /// Whether one was thrown away that a new one can stand in for.
    pub(crate) fn forget(&self, account: &Account, credential: &Credential) -> bool {
        let place = self.all().remove(&key(account, credential));
        place.is_some_and(|place| {
            let kept = place.try_lock();
            // Whoever holds the lock is getting a new one.
            kept.map_or(true, |kept| {
                kept.as_ref().is_some_and(|kept| kept.good_until.is_some())
            })
        })
    }

    fn place(&self, account: &Account, credential: &Credential) -> Place {
        let mut all = self.all();
        if all.len() >= MOST_KEPT {
            all.clear();
        }
        Arc::clone(all.entry(key(account, credential)).or_default())
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_good(&self, now: UnixTime) -> bool {
        self.good_until.is_none_or(|until| now < until)
    }
}

fn key(account: &Account, credential: &Credential) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(account.provider.name().0.as_bytes());
    digest.update([0]);
    digest.update(credential.secret.expose().as_bytes());
    digest.finalize().into()
}
