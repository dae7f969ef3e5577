//! Twins: of two requests with one idempotency key, the second waits for the first.
//!
//! This is a courtesy to the client, not what keeps the promise: the store binds a key once, whatever
//! happens here or in another process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filmgate_core::id::WorkspaceId;
use filmgate_store::Binding;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

/// How long the second of two twins waits.
const PATIENCE: Duration = Duration::from_secs(10);

type Name = (WorkspaceId, String, String);
type Waiting = Arc<Mutex<HashMap<Name, Arc<Turns<()>>>>>;

#[derive(Debug, Default)]
pub(crate) struct InFlight(Waiting);

/// The right to admit; the next twin's turn comes when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    name: Name,
    turns: Waiting,
    guard: Option<OwnedMutexGuard<()>>,
}

impl InFlight {
    /// `None` if a twin took longer than anybody waits.
    pub(super) async fn enter(&self, binding: &Binding) -> Option<Turn> {
        let name = (
            binding.workspace,
            binding.route.clone(),
            binding.key.clone(),
        );
        let turn = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(name.clone()).or_default())
        };
        let waited = tokio::time::timeout(PATIENCE, turn.lock_owned()).await;
        let turn = Turn {
            name,
            turns: Arc::clone(&self.0),
            guard: waited.ok(),
        };
        turn.guard.is_some().then_some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody else holds or waits for it: only the map does.
        if all
            .get(&self.name)
            .is_some_and(|turn| Arc::strong_count(turn) == 1)
        {
            all.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use filmgate_core::time::UnixTime;
    use uuid::Uuid;

    fn binding() -> Binding {
        Binding {
            workspace: WorkspaceId::from_uuid(Uuid::nil()),
            route: "videos.create".into(),
            key: "k".into(),
            digest: [0; 32],
            expires_at: UnixTime::from_seconds(0),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_twin_waits_its_turn_and_then_gives_up() {
        let all = InFlight::default();
        let first = all.enter(&binding()).await.unwrap();
        assert!(
            all.enter(&binding()).await.is_none(),
            "ten seconds passed and the first is still at it"
        );
        drop(first);
        assert!(all.enter(&binding()).await.is_some());
        assert!(all.0.lock().unwrap().is_empty(), "nothing is left behind");
    }
}
