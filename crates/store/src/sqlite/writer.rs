//! The one thread that writes.
//!
//! Callers queue operations; the thread takes whatever is queued into one transaction and answers every
//! caller after it is on disk. There is no waiting for a group to fill: while one group is being synced, the
//! next one gathers.
//!
//! Not here: what an operation does; the other files of this folder hand in closures.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rusqlite::Connection;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::StoreError;

/// The most operations in one transaction: enough to share a sync, few enough to keep it short.
const LARGEST_GROUP: usize = 256;
/// The most changes of jobs that wait; further callers wait for a place.
const WORK_LANE: usize = 1024;

/// Which queue an operation waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Changes of jobs that exist: taken first, so that new work never keeps old work from ending. Whoever finds it
    /// full waits.
    Work,
    /// Everything else. Whoever finds it full is refused: better a clear no now than a line without an end.
    New,
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    work: mpsc::Sender<Queued>,
    new: mpsc::Sender<Queued>,
    closing: Arc<Notify>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

type Queued = Box<dyn Operation>;

impl Writer {
    /// Starts the thread on `db`, which nobody else writes through. At most `queue` operations wait in the lane for
    /// new work.
    pub(super) fn start(db: Connection, queue: usize) -> Result<Self, StoreError> {
        let (work, work_queue) = mpsc::channel(WORK_LANE);
        let (new, new_queue) = mpsc::channel(queue.max(1));
        let closing = Arc::new(Notify::new());
        let waiting = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| StoreError::Open(error.to_string()))?;
        let queues = Queues {
            work: Some(work_queue),
            new: Some(new_queue),
            closing: Arc::clone(&closing),
            waiting,
        };
        let thread = thread::Builder::new()
            .name("filmgate-writer".to_owned())
            .spawn(move || write(queues, db))
            .map_err(|error| StoreError::Open(error.to_string()))?;
        Ok(Self {
            work,
            new,
            closing,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Runs `operation` in a transaction and answers once its outcome is on disk. An operation that fails
    /// leaves nothing behind; its neighbours in the transaction do not notice.
    ///
    /// Once queued it is run even if the caller goes away. It may be run a second time, after the first was
    /// undone.
    pub(super) async fn run<T, F>(&self, lane: Lane, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let pending = Box::new(Pending {
            operation,
            outcome: None,
            reply,
        });
        match lane {
            Lane::Work => self
                .work
                .send(pending)
                .await
                .map_err(|_| StoreError::Closed)?,
            Lane::New => self
                .new
                .try_send(pending)
                .map_err(|refused| match refused {
                    TrySendError::Full(_) => StoreError::Busy,
                    TrySendError::Closed(_) => StoreError::Closed,
                })?,
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Finishes what is queued, refuses the rest, and waits for the thread to end.
    pub(super) async fn close(&self) {
        self.closing.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the writer thread did not end as it should");
            }
        }
    }
}

/// What the thread sees of an operation, whatever it answers.
trait Operation: Send {
    /// Whether what it wrote is to be kept.
    fn run(&mut self, db: &Connection) -> bool;
    /// Tells the caller: its own outcome if the group is on disk, else why it is not.
    fn answer(self: Box<Self>, group: Result<(), &Arc<GroupError>>);
}

struct Pending<T, F> {
    operation: F,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Operation for Pending<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, db: &Connection) -> bool {
        let operation = &self.operation;
        // A panic is a bug of one operation; it must not take the store away from everybody. What the
        // operation wrote is undone, and the connection is never left inside a statement.
        let outcome = catch_unwind(AssertUnwindSafe(|| operation(db))).unwrap_or_else(|_| {
            Err(StoreError::Database(
                "an operation panicked in the writer".into(),
            ))
        });
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn answer(self: Box<Self>, group: Result<(), &Arc<GroupError>>) {
        let answer = match (self.outcome, group) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(answer)), Ok(())) => Ok(answer),
            (_, Err(error)) => Err(StoreError::Database(Box::new(Arc::clone(error)))),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // A caller that went away has nobody to tell.
        let _ = self.reply.send(answer);
    }
}

/// Why a whole group did not reach the disk; every caller in it is told.
#[derive(Debug, thiserror::Error)]
enum GroupError {
    #[error("the transaction could not be committed")]
    Database(#[from] rusqlite::Error),
    #[error("the database rolled the whole transaction back")]
    RolledBack,
}

struct Queues {
    work: Option<mpsc::Receiver<Queued>>,
    new: Option<mpsc::Receiver<Queued>>,
    closing: Arc<Notify>,
    /// Only ever waits on the queues; nothing is spawned on it.
    waiting: tokio::runtime::Runtime,
}

impl Queues {
    /// Waits for something to do and takes what is there. `false` once there will never be more.
    fn gather(&mut self, group: &mut Vec<Queued>) -> bool {
        let Self {
            work,
            new,
            closing,
            waiting,
        } = self;
        let first = waiting.block_on(async {
            loop {
                // Receiving and being notified lose nothing when another branch wins.
                let (from, received) = tokio::select! {
                    biased;
                    () = closing.notified() => {
                        [work.as_mut(), new.as_mut()].into_iter().flatten().for_each(mpsc::Receiver::close);
                        continue;
                    }
                    received = receive(work), if work.is_some() => (Lane::Work, received),
                    received = receive(new), if new.is_some() => (Lane::New, received),
                };
                match (from, received) {
                    (_, Some(first)) => return Some(first),
                    (Lane::Work, None) => *work = None,
                    (Lane::New, None) => *new = None,
                }
                if work.is_none() && new.is_none() {
                    return None;
                }
            }
        });
        let more = first.is_some();
        group.extend(first);
        for lane in [work, new].into_iter().flatten() {
            while group.len() < LARGEST_GROUP
                && let Ok(next) = lane.try_recv()
            {
                group.push(next);
            }
        }
        more
    }
}

/// `None` once the lane is closed and empty.
async fn receive(lane: &mut Option<mpsc::Receiver<Queued>>) -> Option<Queued> {
    lane.as_mut()?.recv().await
}

fn write(mut queues: Queues, db: Connection) {
    let mut group = Vec::with_capacity(LARGEST_GROUP);
    while queues.gather(&mut group) {
        let outcome = commit(&db, &mut group).map_err(Arc::new);
        if let Err(error) = &outcome {
            tracing::error!(
                error = error as &dyn Error,
                operations = group.len(),
                "a transaction was lost"
            );
            if !db.is_autocommit() {
                roll_back(&db);
            }
        }
        let outcome = outcome.as_ref().copied();
        group
            .drain(..)
            .for_each(|operation| operation.answer(outcome));
    }
    // With the log folded in, the next start has nothing to recover and deleted text is in no file.
    if let Err(error) = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
        tracing::warn!(
            error = &error as &dyn Error,
            "the log could not be folded into the database"
        );
    }
}

/// Runs the group in one transaction; an operation that fails leaves its neighbours alone.
///
/// A savepoint makes SQLite keep a copy of every page its operation touches, a quarter of a create's cost, and
/// failures are rare. So the first try goes without, and only a group in which something failed is undone and
/// run again with savepoints.
fn commit(db: &Connection, group: &mut [Queued]) -> Result<(), GroupError> {
    run(db, "BEGIN IMMEDIATE")?;
    if group.iter_mut().all(|operation| operation.run(db)) {
        return Ok(run(db, "COMMIT")?);
    }
    if !db.is_autocommit() {
        run(db, "ROLLBACK")?;
    }
    commit_apart(db, group)
}

/// As [`commit`], each operation in a savepoint of its own.
fn commit_apart(db: &Connection, group: &mut [Queued]) -> Result<(), GroupError> {
    run(db, "BEGIN IMMEDIATE")?;
    for operation in group {
        run(db, "SAVEPOINT operation")?;
        let keep = operation.run(db);
        // A full disk and its like end the whole transaction inside the failing statement.
        if db.is_autocommit() {
            return Err(GroupError::RolledBack);
        }
        if !keep {
            run(db, "ROLLBACK TO operation")?;
        }
        run(db, "RELEASE operation")?;
    }
    Ok(run(db, "COMMIT")?)
}

fn roll_back(db: &Connection) {
    if let Err(error) = run(db, "ROLLBACK") {
        tracing::error!(
            error = &error as &dyn Error,
            "a lost transaction could not be rolled back"
        );
    }
}

fn run(db: &Connection, command: &'static str) -> Result<(), rusqlite::Error> {
    db.prepare_cached(command)?.execute([]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<Result<(), StoreError>>;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "PRAGMA foreign_keys = ON;
             CREATE TABLE parents (id INTEGER PRIMARY KEY);
             CREATE TABLE words (
                 word   TEXT NOT NULL UNIQUE,
                 parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED
             );",
        )
        .unwrap();
        db
    }

    fn words(db: &Connection) -> Vec<String> {
        db.prepare("SELECT word FROM words ORDER BY word")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    fn say(db: &Connection, word: &str) -> Result<(), StoreError> {
        db.execute("INSERT INTO words (word) VALUES (?1)", [word])?;
        Ok(())
    }

    /// A word whose parent is missing, which only the commit notices.
    fn break_commit(db: &Connection) -> Result<(), StoreError> {
        db.execute("INSERT INTO words (word, parent) VALUES ('orphan', 1)", [])?;
        Ok(())
    }

    fn queued<F>(operation: F) -> (Queued, Answer)
    where
        F: Fn(&Connection) -> Result<(), StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let pending = Pending {
            operation,
            outcome: None,
            reply,
        };
        (Box::new(pending), answer)
    }

    #[test]
    fn a_failing_operation_takes_back_its_own_writes_alone() {
        let db = database();
        let (first, _) = queued(|db| say(db, "first"));
        let (failing, _) = queued(|db| {
            say(db, "half done")?;
            say(db, "first")
        });
        let (panicking, _) = queued(|db| {
            say(db, "hardly done")?;
            panic!("a bug, on purpose")
        });
        let (last, _) = queued(|db| say(db, "last"));
        commit(&db, &mut [first, failing, panicking, last]).unwrap();
        assert_eq!(words(&db), ["first", "last"]);
    }

    #[test]
    fn nobody_is_answered_before_the_group_is_committed() {
        let db = database();
        let (operation, mut answer) = queued(|db| say(db, "word"));
        let mut group = [operation];
        commit(&db, &mut group).unwrap();
        assert!(answer.try_recv().is_err());
        let [operation] = group;
        operation.answer(Ok(()));
        assert!(matches!(answer.try_recv(), Ok(Ok(()))));
    }

    #[test]
    fn everybody_in_a_group_that_cannot_be_committed_is_told_and_the_thread_goes_on() {
        let (work_lane, work) = mpsc::channel(8);
        let (new_lane, new) = mpsc::channel(8);
        let (innocent, told) = queued(|db| say(db, "innocent"));
        let (breaking, told_too) = queued(break_commit);
        work_lane.blocking_send(innocent).map_err(|_| ()).unwrap();
        new_lane.blocking_send(breaking).map_err(|_| ()).unwrap();
        let queues = Queues {
            work: Some(work),
            new: Some(new),
            closing: Arc::new(Notify::new()),
            waiting: tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap(),
        };
        let thread = thread::spawn(move || write(queues, database()));
        // Both were queued before the thread began, so they are one group.
        for answer in [told, told_too] {
            let answer = answer.blocking_recv().unwrap();
            assert!(matches!(answer, Err(StoreError::Database(_))));
        }

        let (later, answer) = queued(|db| {
            assert_eq!(words(db), Vec::<String>::new());
            say(db, "later")
        });
        work_lane.blocking_send(later).map_err(|_| ()).unwrap();
        answer.blocking_recv().unwrap().unwrap();
        drop((work_lane, new_lane));
        thread.join().unwrap();
    }

    #[test]
    fn a_full_disk_fails_the_group_and_not_the_thread() {
        let db = database();
        let pages: i64 = db
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        db.pragma_update(None, "max_page_count", pages).unwrap();
        let (large, _) = queued(|db| say(db, &"x".repeat(1 << 20)));
        let (small, _) = queued(|db| say(db, "small"));
        let mut group = [large, small];
        let outcome = commit(&db, &mut group);
        if outcome.is_err() && !db.is_autocommit() {
            roll_back(&db);
        }
        assert!(db.is_autocommit(), "no transaction is left open");
        db.pragma_update(None, "max_page_count", 1000).unwrap();
        let (again, _) = queued(|db| say(db, "again"));
        commit(&db, &mut [again]).unwrap();
        assert!(words(&db).contains(&"again".to_owned()));
    }

    #[tokio::test]
    async fn whoever_finds_the_lane_for_new_work_full_is_refused_and_old_work_waits() {
        let writer = Arc::new(Writer::start(database(), 1).unwrap());
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let (begun, has_begun) = oneshot::channel();
        let begun = Mutex::new(Some(begun));
        let busy = Arc::clone(&writer);
        let mut first = tokio::task::JoinSet::new();
        first.spawn(async move {
            busy.run(Lane::New, move |db| {
                if let Some(begun) = begun.lock().unwrap().take() {
                    begun.send(()).unwrap();
                    gate.lock().unwrap().recv().unwrap();
                }
                say(db, "first")
            })
            .await
        });
        has_begun.await.unwrap();
        // The thread is busy: one more waits, the next is refused, and a change of an existing job is taken on.
        let second = writer.run(Lane::New, |db| say(db, "second"));
        tokio::pin!(second);
        assert!(futures_pending(&mut second).await);
        let refused = writer.run(Lane::New, |db| say(db, "third")).await;
        assert!(matches!(refused, Err(StoreError::Busy)));
        let work = writer.run(Lane::Work, |db| say(db, "work"));
        tokio::pin!(work);
        assert!(futures_pending(&mut work).await);
        go.send(()).unwrap();
        first.join_next().await.unwrap().unwrap().unwrap();
        second.await.unwrap();
        work.await.unwrap();
        writer.close().await;
    }

    /// Polls once: whether it is still under way.
    async fn futures_pending<F: Future + Unpin>(future: &mut F) -> bool {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_pending())
        })
        .await
    }

    #[tokio::test]
    async fn what_is_queued_before_closing_is_done_and_what_comes_after_is_refused() {
        let writer = Arc::new(Writer::start(database(), 64).unwrap());
        let mut callers = tokio::task::JoinSet::new();
        for number in 0..100 {
            let writer = Arc::clone(&writer);
            callers.spawn(async move {
                let lane = if number % 2 == 0 {
                    Lane::Work
                } else {
                    Lane::New
                };
                writer
                    .run(lane, move |db| say(db, &number.to_string()))
                    .await
            });
        }
        while let Some(done) = callers.join_next().await {
            done.unwrap().unwrap();
        }
        writer.close().await;
        let refused = writer.run(Lane::Work, |db| say(db, "late")).await;
        assert!(matches!(refused, Err(StoreError::Closed)));
    }
}
