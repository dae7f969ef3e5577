//! Memory for the bodies of creates and quotes that are being read and admitted: bounded over all clients together,
//! so that many large uploads at once are refused before memory runs out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one permit stands for: a semaphore counts no further than 2^29 on small machines.
const BYTES_A_PERMIT: u64 = 1024;

#[derive(Debug)]
pub(crate) struct BodyMemory(Arc<Semaphore>);

/// What one body takes, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    memory: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl BodyMemory {
    pub(crate) fn new(bytes: u64) -> Self {
        let permits = usize::try_from(bytes / BYTES_A_PERMIT).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(
            permits.min(Semaphore::MAX_PERMITS),
        )))
    }

    pub(crate) fn room(&self) -> Room {
        Room {
            memory: Arc::clone(&self.0),
            taken: None,
        }
    }
}

impl Room {
    /// Grows to `bytes` in all. `false` if there is no more.
    pub(crate) fn hold(&mut self, bytes: u64) -> bool {
        let wanted = usize::try_from(bytes.div_ceil(BYTES_A_PERMIT)).unwrap_or(usize::MAX);
        let have = self
            .taken
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let Ok(more) = u32::try_from(wanted.saturating_sub(have)) else {
            return false;
        };
        if more == 0 {
            return true;
        }
        let Ok(permit) = Arc::clone(&self.memory).try_acquire_many_owned(more) else {
            return false;
        };
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_takes_what_it_has_and_gives_it_back() {
        let memory = BodyMemory::new(10 * 1024);
        let mut first = memory.room();
        assert!(first.hold(4 * 1024) && first.hold(4 * 1024 + 1) && first.hold(100));
        let mut second = memory.room();
        assert!(!second.hold(6 * 1024), "only five are left");
        assert!(second.hold(5 * 1024));
        assert!(!first.hold(6 * 1024));
        drop(second);
        assert!(first.hold(10 * 1024) && !memory.room().hold(1));
        drop(first);
        assert!(memory.room().hold(10 * 1024));
    }
}
