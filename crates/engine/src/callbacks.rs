//! Callbacks: a provider tells by itself that a job has moved, and the next poll is brought forward.
//!
//! Nothing that a callback says is believed, so it needs no more proof than its address: that has a token which only we can
//! have made, for one attempt of one job. Whoever has it can make us look at that job sooner, and do nothing else.

use std::fmt;

use filmgate_core::id::VideoId;
use filmgate_core::job::{Event, Job};
use filmgate_core::provider::{Callback, NotACallback};
use filmgate_core::request::ProviderName;
use filmgate_store::StoreError;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::Engine;
use crate::Parts;

/// Bytes of the signature that stand in an address.
const SIGNATURE_BYTES: usize = 16;

/// What callback addresses are signed with: the same on every replica and after every restart.
#[derive(Clone)]
pub struct CallbackKey([u8; 32]);

/// Why a callback moved nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// No such address was ever given to that provider, or its job is gone.
    #[error("no such callback")]
    Unknown,
    #[error(transparent)]
    Unreadable(#[from] NotACallback),
    #[error("the job store failed")]
    Store(#[from] StoreError),
}

impl CallbackKey {
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    fn token(&self, video: VideoId, attempt: u32) -> String {
        let named = format!("{video}.{attempt}");
        let signature = self.signature(&named);
        format!("{named}.{signature}")
    }

    /// What the token was made for.
    fn open(&self, token: &str) -> Option<(VideoId, u32)> {
        let (named, signature) = token.rsplit_once('.')?;
        let genuine: bool = self
            .signature(named)
            .as_bytes()
            .ct_eq(signature.as_bytes())
            .into();
        let (video, attempt) = named.split_once('.')?;
        let named = (video.parse().ok()?, attempt.parse().ok()?);
        genuine.then_some(named)
    }

    fn signature(&self, named: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("filmgate callback\n{named}").as_bytes());
        crate::hex_of(&mac.finalize().into_bytes()[..SIGNATURE_BYTES])
    }
}

impl fmt::Debug for CallbackKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackKey(…)")
    }
}

impl Parts {
    /// Where the provider of the job's latest attempt may tell of it, if it does such a thing.
    pub(crate) fn callback_url(&self, job: &Job) -> Option<String> {
        let candidate = job.candidate();
        let account = self.accounts.get(&candidate.provider)?;
        let attempt = job.life.attempt.as_ref()?;
        account.provider.protocol().calls_back.then(|| {
            let (origin, provider) = (&job.admission.origin, &candidate.provider);
            let token = self.callback_key.token(job.admission.id, attempt.number);
            format!("{origin}/v1/callbacks/{provider}/{token}")
        })
    }
}

impl Engine {
    /// Takes in what came in at the callback address with `token`.
    pub async fn called_back(
        &self,
        provider: &ProviderName,
        token: &str,
        callback: &Callback,
    ) -> Result<(), CallbackError> {
        let named = self.0.callback_key.open(token);
        let (video, attempt) = named.ok_or(CallbackError::Unknown)?;
        let job = self.0.store.load_job(video).await?;
        let job = job.ok_or(CallbackError::Unknown)?;
        let account = self.0.accounts.get(provider);
        let of_this_one = job
            .life
            .attempt
            .as_ref()
            .filter(|ours| ours.number == attempt && ours.provider == *provider);
        let (Some(account), Some(ours)) = (account, of_this_one) else {
            return Err(CallbackError::Unknown);
        };
        let nudge = account.provider.read_callback(callback)?;
        // Before the answer to the submit is in, nobody knows the id.
        if nudge.native.is_some() && ours.native.is_some() && nudge.native != ours.native {
            return Err(CallbackError::Unknown);
        }
        // One that comes too early or too late is heard, and moves nothing.
        let _ = self.0.change(job, Event::Nudged { attempt }).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    proptest! {
        #[test]
        fn a_token_opens_as_what_it_was_made_for_and_no_other_text_does(
            id in any::<u128>(), attempt in any::<u32>(), at in 0usize..70, letter in "[0-9a-z.]",
        ) {
            let key = CallbackKey::new([7; 32]);
            let video = VideoId::from_uuid(Uuid::from_u128(id));
            let token = key.token(video, attempt);
            prop_assert_eq!(key.open(&token), Some((video, attempt)));
            prop_assert_eq!(CallbackKey::new([8; 32]).open(&token), None);
            let mut other = token.clone();
            let at = at.min(other.len() - 1);
            other.replace_range(at..=at, &letter);
            prop_assert_eq!(key.open(&other).is_some(), other == token);
        }
    }
}
