//! The jobs of one server and what was asked of it: accepted, remembered, forgotten, counted.
//!
//! How a job stands follows from the time; nothing runs for it. What a server forgets, by a delete or by a
//! restart, stays in the book, so that a test can still prove what happened.
//!
//! Not here: HTTP, how a job is shown to clients: each vendor's own business.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use filmgate_core::time::UnixTime;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::fault::{Ending, Failure, Script};
use crate::films::Cut;
use crate::sent::{Encoding, Reference};

/// An instant no job reaches.
const NEVER: UnixTime = UnixTime::from_millis(i64::MAX);

/// What a create asks for, whatever the vendor.
pub trait Order: std::fmt::Debug + Send + Sync + 'static {
    fn prompt(&self) -> &str;
    fn model(&self) -> Option<&str>;
    fn encoding(&self) -> Encoding;
    fn references(&self) -> &[Reference];
    /// Everything that was sent, but the prompt and files.
    fn fields(&self) -> &Map<String, Value>;
    /// The clip of output `output`, counted from 0.
    fn cut(&self, output: u32) -> Cut;
}

/// One accepted create.
#[derive(Debug)]
pub(crate) struct Job<O> {
    /// In the order of acceptance, from 0; unlike the id, only for the book.
    number: u64,
    pub(crate) id: String,
    pub(crate) order: O,
    pub(crate) script: Script,
    pub(crate) remixed_from: Option<String>,
    pub(crate) accepted_at: UnixTime,
    pub(crate) begins_at: UnixTime,
    /// Absent for a job that never ends.
    pub(crate) ends_at: Option<UnixTime>,
    /// Calls so far, each kind on its own.
    pub(crate) polls: AtomicU64,
    pub(crate) contents: AtomicU64,
    pub(crate) deletes: AtomicU64,
    pub(crate) content_bytes: Arc<AtomicU64>,
    /// Of the file that was delivered last.
    pub(crate) sha256: Mutex<Option<String>>,
    polled_at: Mutex<Vec<UnixTime>>,
    /// When an answer first told that it had ended.
    told_at: OnceLock<UnixTime>,
    gone: OnceLock<Gone>,
}

/// How the server came to forget a job.
#[derive(Debug, Clone, Copy)]
struct Gone {
    at: UnixTime,
    why: Farewell,
}

/// Why a server forgets a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Deleted, and its work stopped if it was not done.
    Aborted,
    /// Deleted, and its work goes on.
    LeftRunning,
    /// The server restarted.
    Restart,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Queued,
    Running { permille: u32 },
    Completed,
    Failed(Failure),
}

/// As many jobs are running as are taken at once.
#[derive(Debug)]
pub(crate) struct Full;

/// All jobs of one server.
#[derive(Debug)]
pub(crate) struct Jobs<O> {
    most_running: Option<usize>,
    nonce: String,
    book: Mutex<Book<O>>,
}

#[derive(Debug)]
struct Book<O> {
    /// Every job ever accepted.
    all: Vec<Arc<Job<O>>>,
    /// Those the server remembers.
    by_id: HashMap<String, Arc<Job<O>>>,
    by_number: BTreeMap<u64, Arc<Job<O>>>,
    /// Those whose end lies ahead, by their end.
    running: BTreeSet<(UnixTime, u64)>,
    most_running: usize,
    prompts: HashMap<String, PromptCounts>,
    duplicates: BTreeMap<String, u64>,
}

/// What was asked of a server so far. Nothing here is ever forgotten but with the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Creates that came, whatever became of them.
    pub submits: u64,
    /// Jobs made.
    pub accepted: u64,
    /// Prompts that more than one job was made of, and how many.
    pub duplicates: BTreeMap<String, u64>,
    /// Jobs whose work is not done now.
    pub running: usize,
    /// The largest number of them at any time.
    pub most_running: usize,
    pub polls: u64,
    pub lists: u64,
    pub deletes: u64,
    pub contents: u64,
    /// Bytes of files, as far as connections took them.
    pub content_bytes: u64,
    /// Calls that wait to be released.
    pub stalled: u64,
}

/// What was asked of a server with one prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PromptCounts {
    pub submits: u64,
    pub accepted: u64,
}

/// One job as the book has it. Times are unix milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct JobRecord {
    pub id: String,
    pub prompt: String,
    pub model: Option<String>,
    /// How it really stands: `queued`, `in_progress`, `completed`, `failed`, `cancelled`, or `lost` where a restart
    /// was the end of its work.
    pub status: &'static str,
    pub accepted_at_ms: i64,
    /// When its end was reached, or will be. Absent for a job that never ends.
    pub ready_at_ms: Option<i64>,
    /// When a client was first told that it had ended.
    pub told_at_ms: Option<i64>,
    /// Likewise, once it is past and the job did complete.
    pub completed_at_ms: Option<i64>,
    pub deleted_at_ms: Option<i64>,
    /// When a restart made the server forget it.
    pub lost_at_ms: Option<i64>,
    /// Whether a delete stopped it before its end.
    pub cancelled: bool,
    pub polls: u64,
    /// When each of them came.
    pub polled_at_ms: Vec<i64>,
    pub contents: u64,
    pub deletes: u64,
    pub content_bytes: u64,
    /// Of the whole file that was delivered last.
    pub sha256: Option<String>,
    pub encoding: Encoding,
    pub references: Vec<Reference>,
    /// What the create sent, but the prompt and files.
    pub fields: Map<String, Value>,
}

/// What an accepted job begins with.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) queue: Duration,
    /// Absent for a job that never ends.
    pub(crate) render: Option<Duration>,
    pub(crate) remixed_from: Option<String>,
}

impl<O: Order> Job<O> {
    pub(crate) fn phase(&self, now: UnixTime) -> Phase {
        if self.ends_at.is_some_and(|end| end <= now) {
            return match self.script.ending {
                Some(Ending::Fails(failure)) => Phase::Failed(failure),
                Some(Ending::Stuck) | None => Phase::Completed,
            };
        }
        if now < self.begins_at {
            return Phase::Queued;
        }
        let permille = self.ends_at.map_or(500, |end| {
            let whole = end.since(self.begins_at).as_millis().max(1);
            let done = now.since(self.begins_at).as_millis();
            u32::try_from(done * 1000 / whole).unwrap_or(999).min(999)
        });
        Phase::Running { permille }
    }

    /// Counts one more poll; how many there were before.
    pub(crate) fn note_poll(&self, now: UnixTime) -> u64 {
        lock(&self.polled_at).push(now);
        count(&self.polls)
    }

    /// Notes that a client was told of the end.
    pub(crate) fn tell(&self, now: UnixTime) {
        let _ = self.told_at.set(now);
    }

    fn record(&self, now: UnixTime) -> JobRecord {
        let gone = self.gone.get();
        // What was aborted stands still.
        let aborted = gone.filter(|gone| gone.why != Farewell::LeftRunning);
        let phase = self.phase(aborted.map_or(now, |gone| gone.at));
        let under_way = matches!(phase, Phase::Queued | Phase::Running { .. });
        let cancelled = under_way && gone.is_some_and(|gone| gone.why == Farewell::Aborted);
        let at = |why: &[Farewell]| {
            gone.filter(|gone| why.contains(&gone.why))
                .map(|gone| gone.at.millis())
        };
        JobRecord {
            id: self.id.clone(),
            prompt: self.order.prompt().to_owned(),
            model: self.order.model().map(str::to_owned),
            status: match phase {
                _ if cancelled => "cancelled",
                _ if under_way && aborted.is_some() => "lost",
                Phase::Queued => "queued",
                Phase::Running { .. } => "in_progress",
                Phase::Completed => "completed",
                Phase::Failed(_) => "failed",
            },
            accepted_at_ms: self.accepted_at.millis(),
            ready_at_ms: self.ends_at.map(UnixTime::millis),
            told_at_ms: self.told_at.get().map(|at| at.millis()),
            completed_at_ms: self
                .ends_at
                .filter(|_| phase == Phase::Completed)
                .map(UnixTime::millis),
            deleted_at_ms: at(&[Farewell::Aborted, Farewell::LeftRunning]),
            lost_at_ms: at(&[Farewell::Restart]),
            cancelled,
            polls: self.polls.load(Ordering::Relaxed),
            polled_at_ms: lock(&self.polled_at).iter().map(|at| at.millis()).collect(),
            contents: self.contents.load(Ordering::Relaxed),
            deletes: self.deletes.load(Ordering::Relaxed),
            content_bytes: self.content_bytes.load(Ordering::Relaxed),
            sha256: lock(&self.sha256).clone(),
            encoding: self.order.encoding(),
            references: self.order.references().to_vec(),
            fields: self.order.fields().clone(),
        }
    }
}

impl<O: Order> Jobs<O> {
    /// `nonce` keeps the ids of one process from those of another.
    pub(crate) fn new(nonce: [u8; 8], most_running: Option<usize>) -> Self {
        Self {
            most_running,
            nonce: hex::encode(nonce),
            book: Mutex::new(Book::empty()),
        }
    }

    /// Counts a create with this prompt; how many there were before.
    pub(crate) fn note_submit(&self, prompt: &str) -> u64 {
        let mut book = lock(&self.book);
        let counts = book.prompt(prompt);
        counts.submits += 1;
        counts.submits - 1
    }

    /// Makes a job.
    pub(crate) fn accept(
        &self,
        order: O,
        script: Script,
        plan: Plan,
        now: UnixTime,
        name: impl FnOnce(&str, &O) -> String,
    ) -> Result<Arc<Job<O>>, Full> {
        let mut book = lock(&self.book);
        book.settle(now);
        if self
            .most_running
            .is_some_and(|most| book.running.len() >= most)
        {
            return Err(Full);
        }
        let number = book.all.len() as u64;
        let begins_at = now.plus(plan.queue);
        let job = Arc::new(Job {
            number,
            id: name(&format!("{}{number:016x}", self.nonce), &order),
            remixed_from: plan.remixed_from,
            accepted_at: now,
            begins_at,
            ends_at: plan.render.map(|render| begins_at.plus(render)),
            polls: AtomicU64::new(0),
            contents: AtomicU64::new(0),
            deletes: AtomicU64::new(0),
            content_bytes: Arc::default(),
            sha256: Mutex::default(),
            polled_at: Mutex::default(),
            told_at: OnceLock::new(),
            gone: OnceLock::new(),
            order,
            script,
        });
        book.admit(&job, now);
        Ok(job)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Arc<Job<O>>> {
        lock(&self.book).by_id.get(id).cloned()
    }

    /// Makes the server forget a job. `false` if somebody else did.
    pub(crate) fn forget(&self, job: &Job<O>, why: Farewell, now: UnixTime) -> bool {
        lock(&self.book).forget(job, why, now)
    }

    /// Makes the server forget everything, as a restart does.
    pub(crate) fn forget_all(&self, now: UnixTime) {
        let mut book = lock(&self.book);
        book.settle(now);
        book.running.clear();
        book.by_id.clear();
        for job in std::mem::take(&mut book.by_number).into_values() {
            let why = Farewell::Restart;
            let _ = job.gone.set(Gone { at: now, why });
        }
    }

    /// Up to `limit` jobs the server remembers, beginning behind `after`, and whether there are more.
    pub(crate) fn page(
        &self,
        after: Option<&Job<O>>,
        newest_first: bool,
        limit: usize,
    ) -> (Vec<Arc<Job<O>>>, bool) {
        let book = lock(&self.book);
        let mut page: Vec<_> = if newest_first {
            let end = after.map_or(u64::MAX, |job| job.number);
            let rest = book.by_number.range(..end).rev();
            rest.map(|(_, job)| Arc::clone(job))
                .take(limit + 1)
                .collect()
        } else {
            let begin = after.map_or(0, |job| job.number + 1);
            let rest = book.by_number.range(begin..);
            rest.map(|(_, job)| Arc::clone(job))
                .take(limit + 1)
                .collect()
        };
        let more = page.len() > limit;
        page.truncate(limit);
        (page, more)
    }

    /// The book: every job, in the order of acceptance, or only those of one prompt.
    /// All that the server remembers, the oldest first.
    pub(crate) fn remembered(&self) -> Vec<Arc<Job<O>>> {
        lock(&self.book).by_number.values().cloned().collect()
    }

    pub(crate) fn records(&self, prompt: Option<&str>, now: UnixTime) -> Vec<JobRecord> {
        // Records are written without the lock: there may be many.
        let all = lock(&self.book).all.clone();
        all.iter()
            .filter(|job| prompt.is_none_or(|prompt| job.order.prompt() == prompt))
            .map(|job| job.record(now))
            .collect()
    }

    pub(crate) fn prompt_counts(&self, prompt: &str) -> PromptCounts {
        let book = lock(&self.book);
        book.prompts.get(prompt).copied().unwrap_or_default()
    }

    /// What the book knows, beside the calls and those of them that are stalled.
    pub(crate) fn counts(&self, calls: &Calls, stalled: u64, now: UnixTime) -> Counts {
        let mut book = lock(&self.book);
        book.settle(now);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            submits: read(&calls.submits),
            accepted: book.all.len() as u64,
            duplicates: book.duplicates.clone(),
            running: book.running.len(),
            most_running: book.most_running,
            polls: read(&calls.polls),
            lists: read(&calls.lists),
            deletes: read(&calls.deletes),
            contents: read(&calls.contents),
            content_bytes: read(&calls.content_bytes),
            stalled,
        }
    }
}

impl<O: Order> Book<O> {
    fn empty() -> Self {
        Self {
            all: Vec::new(),
            by_id: HashMap::new(),
            by_number: BTreeMap::new(),
            running: BTreeSet::new(),
            most_running: 0,
            prompts: HashMap::new(),
            duplicates: BTreeMap::new(),
        }
    }

    fn prompt(&mut self, prompt: &str) -> &mut PromptCounts {
        if !self.prompts.contains_key(prompt) {
            self.prompts
                .insert(prompt.to_owned(), PromptCounts::default());
        }
        self.prompts
            .get_mut(prompt)
            .expect("it is there or was put there just now")
    }

    fn admit(&mut self, job: &Arc<Job<O>>, now: UnixTime) {
        let prompt = job.order.prompt();
        let counts = self.prompt(prompt);
        counts.accepted += 1;
        if counts.accepted > 1 {
            let accepted = counts.accepted;
            self.duplicates.insert(prompt.to_owned(), accepted);
        }
        self.all.push(Arc::clone(job));
        self.by_id.insert(job.id.clone(), Arc::clone(job));
        self.by_number.insert(job.number, Arc::clone(job));
        let end = job.ends_at.unwrap_or(NEVER);
        if end > now {
            self.running.insert((end, job.number));
            self.most_running = self.most_running.max(self.running.len());
        }
        if job.script.lost {
            self.forget(job, Farewell::Restart, now);
        }
    }

    fn forget(&mut self, job: &Job<O>, why: Farewell, now: UnixTime) -> bool {
        if self.by_id.remove(&job.id).is_none() {
            return false;
        }
        self.by_number.remove(&job.number);
        let _ = job.gone.set(Gone { at: now, why });
        match why {
            Farewell::LeftRunning => {}
            Farewell::Aborted | Farewell::Restart => {
                let end = job.ends_at.unwrap_or(NEVER);
                self.running.remove(&(end, job.number));
            }
        }
        true
    }

    /// Those whose end has come run no more.
    fn settle(&mut self, now: UnixTime) {
        while let Some((end, _)) = self.running.first() {
            if *end > now {
                break;
            }
            self.running.pop_first();
        }
    }
}

/// Calls of each kind so far.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) submits: AtomicU64,
    pub(crate) polls: AtomicU64,
    pub(crate) lists: AtomicU64,
    pub(crate) deletes: AtomicU64,
    pub(crate) contents: AtomicU64,
    pub(crate) content_bytes: Arc<AtomicU64>,
}

/// A version 4 UUID of a job's 32 hexadecimal digits.
pub(crate) fn uuid(digits: &str) -> String {
    format!(
        "{}-{}-4{}-8{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..]
    )
}

/// Counts one more; how many there were before.
pub(crate) fn count(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
