//! Twins: a request that must find what another one makes waits for it.
//!
//! Of two requests with one idempotency key, the second waits for the first. One that says it is a retry waits for
//! whoever makes the same video; requests that say nothing do not wait for each other, because two that ask for the
//! same are two. This is a courtesy to the client, not what keeps the promise: the store decides, whatever happens
//! here or in another process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filmgate_core::id::WorkspaceId;
use filmgate_store::Binding;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// How long a request waits for its twin.
const PATIENCE: Duration = Duration::from_secs(10);

/// What makes two requests twins.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Name {
    /// An idempotency key of a route.
    Key(WorkspaceId, String, String),
    Fingerprint([u8; 32]),
}

/// Whether twins may be admitted at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    Alone,
    Beside,
}

type Waiting = Arc<Mutex<HashMap<Name, Arc<RwLock<()>>>>>;

#[derive(Debug, Default)]
pub(crate) struct InFlight(Waiting);

/// The right to admit; whoever waits for it goes on when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    name: Name,
    turns: Waiting,
    guard: Option<Guard>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "they are held, not looked at")]
enum Guard {
    Alone(OwnedRwLockWriteGuard<()>),
    Beside(OwnedRwLockReadGuard<()>),
}

impl Name {
    pub(super) fn of(binding: &Binding) -> Self {
        Self::Key(
            binding.workspace,
            binding.route.clone(),
            binding.key.clone(),
        )
    }
}

impl InFlight {
    /// `None` if a twin took longer than anybody waits.
    pub(super) async fn enter(&self, name: Name, company: Company) -> Option<Turn> {
        let lock = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(name.clone()).or_default())
        };
        let entered = async {
            match company {
                Company::Alone => Guard::Alone(lock.write_owned().await),
                Company::Beside => Guard::Beside(lock.read_owned().await),
            }
        };
        let waited = tokio::time::timeout(PATIENCE, entered).await;
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
    use uuid::Uuid;

    fn name() -> Name {
        let workspace = WorkspaceId::from_uuid(Uuid::nil());
        Name::Key(workspace, "videos.create".into(), "k".into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_twin_waits_its_turn_and_then_gives_up() {
        let all = InFlight::default();
        let first = all.enter(name(), Company::Alone).await.unwrap();
        assert!(
            all.enter(name(), Company::Alone).await.is_none(),
            "ten seconds passed and the first is still at it"
        );
        drop(first);
        assert!(all.enter(name(), Company::Alone).await.is_some());
        assert!(all.0.lock().unwrap().is_empty(), "nothing is left behind");
    }

    #[tokio::test(start_paused = true)]
    async fn twins_that_say_nothing_go_side_by_side_and_a_retry_waits_for_them() {
        let all = InFlight::default();
        let print = || Name::Fingerprint([7; 32]);
        let first = all.enter(print(), Company::Beside).await.unwrap();
        let second = all.enter(print(), Company::Beside).await.unwrap();
        drop(first);
        assert!(all.enter(print(), Company::Alone).await.is_none());
        drop(second);
        assert!(all.enter(print(), Company::Alone).await.is_some());
        assert!(all.0.lock().unwrap().is_empty(), "nothing is left behind");
    }
}
