//! Retention: what a job stored is removed once it has been kept for as long as was promised.
//!
//! The row goes first: a crash in between leaves objects that no row names, which the sweep removes, and never a row
//! that promises bytes which are gone.

use filmgate_core::job::Event;
use filmgate_store::{AfterCommit, StoreError};

use crate::Parts;
use crate::commit::{Held, Stepped};

impl Parts {
    pub(crate) async fn retire(&self, held: &mut Held) -> Result<(), StoreError> {
        let inputs = held.job.admission.request.inputs.iter();
        let mut keys: Vec<String> = inputs.map(|input| input.key.clone()).collect();
        keys.extend(held.job.life.output_objects().map(str::to_owned));
        let event = Event::BytesExpired;
        if self.step(held, event, AfterCommit::EndLease).await? != Stepped::Taken {
            return Ok(());
        }
        // Another job may be a retry of this one and share its inputs.
        let shared = self.store.known_objects(keys.clone()).await?;
        for key in keys.iter().filter(|key| !shared.contains(key)) {
            let Ok(object) = key.parse() else { continue };
            if let Err(error) = self.assets.delete(&object).await {
                tracing::warn!(%error, "an object whose time is over stays until the next sweep");
            }
        }
        Ok(())
    }
}
