//! The spool: incoming bytes on local disk, hashed on the way, until they are put or thrown away.
//!
//! It is bounded in bytes, and no two receivers can wait on each other for ever:
//!
//! - An output of announced length takes room for all of it before its first byte is read, so whoever holds room never
//!   waits for more of it.
//! - An output of unknown length takes room for [`OPENING_BYTES`]. Past that it waits for the one overflow lane, whose
//!   room is set aside and never lent to others, so the lane's holder always gets to its end.
//!
//! Room is given back when the [`Spooled`] file is put or dropped. Whoever receives must therefore put or drop one output
//! before receiving the next.
//!
//! Not here: opening connections and their deadlines (`engine`). A receiver that is dropped leaves nothing behind.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use tempfile::{NamedTempFile, TempDir};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::{Config, OpenError};

/// Room for an output of unknown length before it needs the overflow lane: more than most outputs have.
const OPENING_BYTES: u64 = 64 << 20;

/// Bytes handed to the disk at once: few hops to the blocking pool, while the next ones arrive.
const BATCH_BYTES: usize = 512 << 10;

/// Room is counted in pieces of this size.
const PIECE_BYTES: u64 = 64 << 10;

pub struct Spool {
    max_output_bytes: u64,
    opening_bytes: u64,
    /// In pieces; without what is set aside for the lane.
    room: Arc<Semaphore>,
    /// One at a time may grow past [`OPENING_BYTES`] without having announced it.
    lane: Arc<Semaphore>,
    /// This process's own directory, removed with it.
    directory: TempDir,
    /// Held while this process lives, so that its directory is not taken for a dead one's.
    _alive: File,
}

/// A file in the spool, whole and hashed. Removed when dropped, unless it has been put.
#[derive(Debug)]
pub struct Spooled {
    pub(crate) file: NamedTempFile,
    bytes: u64,
    sha256: String,
    _room: Room,
}

/// Why an output could not be received. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error("the output is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    /// `received` is a lower bound where more came than was announced.
    #[error("{announced} bytes were announced, {received} received")]
    WrongLength { announced: u64, received: u64 },
    #[error("the output broke off")]
    Interrupted(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the spool cannot be written")]
    Io(#[source] io::Error),
}

impl Spool {
    pub(crate) fn open(config: &Config) -> Result<Self, OpenError> {
        let Config {
            spool_bytes,
            max_output_bytes,
            ..
        } = *config;
        let shared = spool_bytes
            .checked_sub(max_output_bytes)
            .filter(|shared| *shared >= max_output_bytes)
            .ok_or(OpenError::SpoolTooSmall {
                spool_bytes,
                max_output_bytes,
            })?;
        let (directory, alive) =
            claim_directory(&config.spool_dir).map_err(|source| OpenError::Directory {
                directory: config.spool_dir.clone(),
                source,
            })?;
        // Rounded up, as every reservation is: an output of the greatest length still fits.
        let pieces = usize::try_from(shared.div_ceil(PIECE_BYTES)).unwrap_or(usize::MAX);
        Ok(Self {
            max_output_bytes,
            opening_bytes: OPENING_BYTES.min(max_output_bytes),
            room: Arc::new(Semaphore::new(pieces.min(Semaphore::MAX_PERMITS))),
            lane: Arc::new(Semaphore::new(1)),
            directory,
            _alive: alive,
        })
    }

    /// Writes `incoming` to the spool, waiting for room first.
    ///
    /// With an `announced_length`, any other length is an error. Dropping the future is safe at every point.
    pub async fn receive<E>(
        &self,
        incoming: impl Stream<Item = Result<Bytes, E>>,
        announced_length: Option<u64>,
    ) -> Result<Spooled, SpoolError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let mut room = self.reserve(announced_length).await?;
        let mut incoming = std::pin::pin!(incoming);
        let mut writing = Writing::start(self.directory.path());
        let mut received = 0u64;
        while let Some(arrival) = incoming.next().await {
            let bytes = arrival.map_err(|error| SpoolError::Interrupted(error.into()))?;
            received = received.saturating_add(bytes.len() as u64);
            if received > self.max_output_bytes {
                return Err(self.too_large());
            }
            match announced_length {
                Some(announced) if received > announced => {
                    return Err(SpoolError::WrongLength {
                        announced,
                        received,
                    });
                }
                None if received > self.opening_bytes => room.widen(&self.lane).await,
                _ => {}
            }
            writing.push(bytes).await?;
        }
        if let Some(announced) = announced_length.filter(|announced| *announced != received) {
            return Err(SpoolError::WrongLength {
                announced,
                received,
            });
        }
        let (file, sha256) = writing.finish().await?;
        Ok(Spooled {
            file,
            bytes: received,
            sha256,
            _room: room,
        })
    }

    async fn reserve(&self, announced_length: Option<u64>) -> Result<Room, SpoolError> {
        let bytes = match announced_length {
            Some(announced) if announced > self.max_output_bytes => return Err(self.too_large()),
            Some(announced) => announced,
            None => self.opening_bytes,
        };
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES)).map_err(|_| self.too_large())?;
        let shared = Arc::clone(&self.room).acquire_many_owned(pieces).await;
        Ok(Room {
            _shared: shared.expect("the spool's room is never closed"),
            lane: None,
        })
    }

    fn too_large(&self) -> SpoolError {
        SpoolError::TooLarge {
            limit: self.max_output_bytes,
        }
    }

    /// Where files may be made that take no room of the spool: a thumbnail, a client's input.
    pub(crate) fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// A file that takes no room of the spool: whoever makes one bounds it, and how many there are.
    pub fn scratch_file(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.scratch())
    }
}

impl Spooled {
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Lower-case hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Lets `carry` take the file away; the room it took is free once that is done.
    pub(crate) fn leave<T>(self, carry: impl FnOnce(NamedTempFile) -> T) -> T {
        let Self { file, _room, .. } = self;
        carry(file)
    }
}

/// What one file may take of the spool.
#[derive(Debug)]
struct Room {
    _shared: OwnedSemaphorePermit,
    lane: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Waits for the overflow lane, unless it is already held.
    async fn widen(&mut self, lane: &Arc<Semaphore>) {
        if self.lane.is_none() {
            let permit = Arc::clone(lane).acquire_owned().await;
            self.lane = Some(permit.expect("the overflow lane is never closed"));
        }
    }
}

/// A file being written: one batch is on its way to the disk while the next one gathers.
struct Writing {
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    on_disk: JoinHandle<io::Result<Unfinished>>,
}

/// The file removes itself if it is dropped, also when nobody waits for the batch any more.
struct Unfinished {
    file: NamedTempFile,
    hasher: Sha256,
}

impl Writing {
    fn start(directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self {
            gathered: Vec::new(),
            gathered_bytes: 0,
            on_disk: tokio::task::spawn_blocking(move || {
                Ok(Unfinished {
                    file: NamedTempFile::new_in(directory)?,
                    hasher: Sha256::new(),
                })
            }),
        }
    }

    async fn push(&mut self, bytes: Bytes) -> Result<(), SpoolError> {
        self.gathered_bytes += bytes.len();
        self.gathered.push(bytes);
        if self.gathered_bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Waits for the batch before, and sends the gathered one after it.
    async fn flush(&mut self) -> Result<(), SpoolError> {
        let mut unfinished = landed((&mut self.on_disk).await)?;
        let batch = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        self.on_disk = tokio::task::spawn_blocking(move || {
            for bytes in &batch {
                unfinished.file.write_all(bytes)?;
                unfinished.hasher.update(bytes);
            }
            Ok(unfinished)
        });
        Ok(())
    }

    async fn finish(mut self) -> Result<(NamedTempFile, String), SpoolError> {
        self.flush().await?;
        let Unfinished { file, hasher } = landed(self.on_disk.await)?;
        Ok((file, hex::encode(hasher.finalize())))
    }
}

fn landed(
    result: Result<io::Result<Unfinished>, tokio::task::JoinError>,
) -> Result<Unfinished, SpoolError> {
    match result {
        Ok(written) => written.map_err(SpoolError::Io),
        Err(failed) => Err(SpoolError::Io(io::Error::other(failed))),
    }
}

/// A directory of this process's own, after removing those of processes that are no more.
///
/// Several processes may share a spool: each holds a lock in its directory for as long as it lives, and looking, making
/// and locking happen under one more lock, so that a directory just made is never taken for a dead one.
fn claim_directory(spool_dir: &Path) -> io::Result<(TempDir, File)> {
    const PREFIX: &str = "process-";
    const LOCK: &str = "lock";
    std::fs::create_dir_all(spool_dir)?;
    let gate = File::create(spool_dir.join(LOCK))?;
    gate.lock()?;
    for entry in std::fs::read_dir(spool_dir)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let alive = File::open(entry.path().join(LOCK))
            .is_ok_and(|lock| matches!(lock.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
        if !alive {
            tracing::info!(directory = %entry.path().display(), "removing what a dead process left in the spool");
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    let directory = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(spool_dir)?;
    let alive = File::create(directory.path().join(LOCK))?;
    alive.lock()?;
    Ok((directory, alive))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use futures::channel::mpsc;
    use futures::stream;

    type Piece = Result<Bytes, io::Error>;

    fn spool(directory: &Path, spool_bytes: u64, max_output_bytes: u64) -> Spool {
        Spool::open(&Config {
            spool_dir: directory.to_owned(),
            spool_bytes,
            max_output_bytes,
            ..Config::default()
        })
        .unwrap()
    }

    fn pieces(bytes: &'static [u8], size: usize) -> impl Stream<Item = Piece> {
        stream::iter(
            bytes
                .chunks(size)
                .map(|piece| Ok(Bytes::from_static(piece))),
        )
    }

    /// Files in the spool of this process, without its lock.
    fn files(spool: &Spool) -> usize {
        std::fs::read_dir(spool.scratch()).unwrap().count() - 1
    }

    #[tokio::test]
    async fn what_was_sent_is_on_disk_with_its_hash() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path(), 4 << 20, 2 << 20);
        let sent = vec![7u8; 1_500_001].leak();
        let spooled = spool.receive(pieces(sent, 1000), None).await.unwrap();
        assert_eq!(spooled.bytes(), 1_500_001);
        assert_eq!(std::fs::read(spooled.path()).unwrap(), sent);
        assert_eq!(spooled.sha256(), hex::encode(Sha256::digest(&*sent)));
        assert_eq!(files(&spool), 1);
        drop(spooled);
        assert_eq!(files(&spool), 0);
    }

    #[tokio::test]
    async fn a_receiver_can_move_between_threads() {
        fn movable<T: Send>(receiver: T) -> T {
            receiver
        }
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path(), 2, 1);
        let receiver = movable(spool.receive(pieces(b"1", 1), None));
        assert_eq!(receiver.await.unwrap().bytes(), 1);
    }

    #[tokio::test]
    async fn nothing_at_all_is_an_empty_file() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path(), 2, 1);
        let spooled = spool.receive(pieces(b"", 1), Some(0)).await.unwrap();
        assert_eq!(spooled.bytes(), 0);
        assert_eq!(spooled.sha256(), hex::encode(Sha256::digest(b"")));
    }

    #[tokio::test]
    async fn another_length_than_announced_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path(), 200, 100);
        for announced in [9, 11] {
            let refused = spool
                .receive(pieces(b"0123456789", 3), Some(announced))
                .await;
            assert!(
                matches!(refused, Err(SpoolError::WrongLength { announced: a, .. }) if a == announced)
            );
        }
        assert_eq!(files(&spool), 0);
    }

    #[tokio::test]
    async fn an_output_beyond_the_limit_is_refused_announced_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path(), 18, 9);
        for announced in [None, Some(10)] {
            let refused = spool.receive(pieces(b"0123456789", 3), announced).await;
            assert!(matches!(refused, Err(SpoolError::TooLarge { limit: 9 })));
        }
        assert!(
            spool
                .receive(pieces(b"012345678", 3), Some(9))
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_broken_stream_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path(), 20, 10);
        let broken = stream::iter([Ok(Bytes::from_static(b"01")), Err(io::Error::other("gone"))]);
        let refused = spool.receive(broken, Some(10)).await;
        assert!(matches!(refused, Err(SpoolError::Interrupted(_))));
        assert_eq!(files(&spool), 0);
        assert_eq!(spool.room.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_full_spool_makes_the_next_wait_until_one_is_put_away() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool(directory.path(), 2 * PIECE_BYTES, PIECE_BYTES);
        let first = spool.receive(pieces(b"1", 1), Some(1)).await.unwrap();
        let mut second = Box::pin(spool.receive(pieces(b"2", 1), Some(1)));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert_eq!(second.await.unwrap().bytes(), 1);
    }

    #[tokio::test]
    async fn outputs_of_unknown_length_that_outgrow_their_opening_finish_one_after_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let limit = 3 * PIECE_BYTES;
        let mut spool = spool(directory.path(), 2 * limit, limit);
        spool.opening_bytes = PIECE_BYTES;
        // Three openings fill the shared room before any of them has grown.
        let (senders, outputs): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| {
                let (send, incoming) = mpsc::unbounded::<Piece>();
                (send, spool.receive(incoming, None).boxed_local())
            })
            .unzip();
        // Whoever is done makes way for the next, as putting it does.
        let outputs = outputs
            .into_iter()
            .map(|output| output.map(|done| done.unwrap().bytes()));
        let mut outputs = futures::future::join_all(outputs);
        assert!((&mut outputs).now_or_never().is_none());
        assert_eq!(spool.room.available_permits(), 0);
        for send in senders {
            for _ in 0..limit / PIECE_BYTES {
                let piece = Bytes::from(vec![0u8; PIECE_BYTES as usize]);
                send.unbounded_send(Ok(piece)).unwrap();
            }
        }
        assert_eq!(outputs.await, [limit; 3]);
    }

    #[tokio::test]
    async fn a_dead_process_s_files_are_removed_and_a_living_one_s_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let dead = directory.path().join("process-dead");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("lock"), "").unwrap();
        std::fs::write(dead.join("left behind"), "bytes").unwrap();
        let living = spool(directory.path(), 20, 10);
        let spooled = living.receive(pieces(b"1", 1), None).await.unwrap();
        assert!(!dead.exists());
        let _second = spool(directory.path(), 20, 10);
        assert!(spooled.path().exists());
    }
}
