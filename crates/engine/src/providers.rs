//! What operators are told of the accounts at providers.

use filmgate_core::request::ProviderName;
use filmgate_store::{Load, StoreError};

use crate::Engine;
use crate::health::Standing;

/// An account, as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountState {
    pub name: ProviderName,
    pub standing: Standing,
    /// Over all processes.
    pub load: Load,
    /// Jobs it may have at its provider at once.
    pub concurrency: Option<u32>,
    /// Models that the catalogue has at it.
    pub models: usize,
}

impl Engine {
    /// All accounts that are on, by name.
    pub async fn accounts(&self) -> Result<Vec<AccountState>, StoreError> {
        let loads = self.0.store.loads().await?;
        let now = self.now();
        let models_of = |name: &ProviderName| {
            let pairs = self.0.catalogue.models().iter();
            pairs
                .flat_map(|model| &model.pairs)
                .filter(|pair| pair.provider == *name)
                .count()
        };
        let all = self.0.accounts.iter().map(|(name, account)| AccountState {
            name: name.clone(),
            standing: self.0.health.standing(name, now),
            load: loads.get(name).copied().unwrap_or_default(),
            concurrency: account.concurrency.map(std::num::NonZero::get),
            models: models_of(name),
        });
        Ok(all.collect())
    }
}
