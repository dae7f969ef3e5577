//! Hints: what this process changes is told to the others, and what they change is heard.
//!
//! `NOTIFY` takes a lock that every commit with one waits for, so none stands in a job's transaction: what changed within
//! a moment is told together, in a statement of its own. A hint that gets lost costs a delay: whoever watches looks
//! now and then all the same.

use std::collections::HashSet;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filmgate_core::id::VideoId;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use tokio::sync::{Notify, broadcast};

use super::connections::Connections;
use crate::{Heard, StoreError};

const CHANNEL: &str = "filmgate";
/// What changes within it is told together.
const GATHERED_FOR: Duration = Duration::from_millis(100);
/// A notification takes 8000 bytes, and a job's id 32 with the comma. Of more jobs than this only that there were many
/// is told.
const MOST_NAMED: usize = 200;
/// As many hints wait for a slow listener before he is told that he missed some.
const HEARD_AT_ONCE: usize = 1024;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What is to be told, and who listens.
#[derive(Debug)]
pub(super) struct Hints {
    process: String,
    untold: Mutex<Untold>,
    something: Notify,
    heard: broadcast::Sender<Heard>,
}

#[derive(Debug, Default)]
struct Untold {
    jobs: HashSet<VideoId>,
    due: bool,
}

impl Hints {
    pub(super) fn new(process: String) -> Self {
        Self {
            process,
            untold: Mutex::default(),
            something: Notify::new(),
            heard: broadcast::Sender::new(HEARD_AT_ONCE),
        }
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Heard> {
        self.heard.subscribe()
    }

    /// `due`: there may be work to claim.
    pub(super) fn tell(&self, job: VideoId, due: bool) {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        // Beyond what can be named their number does not matter.
        if untold.jobs.len() <= MOST_NAMED {
            untold.jobs.insert(job);
        }
        untold.due |= due;
        drop(untold);
        self.something.notify_one();
    }

    /// What is told now: by whom, whether work may be due, and which jobs; a star for many.
    fn message(&self) -> Option<String> {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        let Untold { jobs, due } = mem::take(&mut *untold);
        drop(untold);
        if jobs.is_empty() {
            return None;
        }
        let due = if due { "due" } else { "-" };
        let named = if jobs.len() > MOST_NAMED {
            "*".to_owned()
        } else {
            let names: Vec<String> = jobs.iter().map(ToString::to_string).collect();
            names.join(",")
        };
        Some(format!("{} {due} {named}", self.process))
    }

    /// Passes on what another process told.
    fn hear(&self, message: &str) {
        let mut words = message.splitn(3, ' ');
        let (teller, due, named) = (words.next(), words.next(), words.next());
        if teller == Some(self.process.as_str()) {
            return;
        }
        let jobs: Option<Vec<VideoId>> = named
            .unwrap_or_default()
            .split(',')
            .map(|id| id.parse().ok())
            .collect();
        let heard = match jobs {
            Some(jobs) => Heard::Changed {
                jobs,
                due: due == Some("due"),
            },
            None => Heard::Anything,
        };
        self.pass_on(heard);
    }

    fn pass_on(&self, heard: Heard) {
        // Nobody may be listening yet.
        let _ = self.heard.send(heard);
    }
}

/// Tells what changed, until it is dropped.
pub(super) async fn keep_telling(connections: Arc<Connections>, hints: Arc<Hints>) {
    loop {
        hints.something.notified().await;
        tokio::time::sleep(GATHERED_FOR).await;
        let Some(message) = hints.message() else {
            continue;
        };
        let told = async {
            let mut db = connections.lend().await?;
            sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(message)
                .execute(&mut *db)
                .await?;
            Ok::<_, StoreError>(())
        };
        if let Err(error) = told.await {
            tracing::debug!(%error, "other processes learn of a change by looking");
        }
    }
}

/// The one connection that is kept for listening.
pub(super) fn ear(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(1)
        .connect_lazy_with(options)
}

/// Listens, until it is dropped; whenever hints may have been lost, it says so.
pub(super) async fn keep_listening(ear: PgPool, hints: Arc<Hints>) {
    loop {
        let listening = async {
            let mut listener = PgListener::connect_with(&ear).await?;
            listener.listen(CHANNEL).await?;
            hints.pass_on(Heard::Anything);
            loop {
                match listener.try_recv().await? {
                    Some(notification) => hints.hear(notification.payload()),
                    // The connection was lost and is there again.
                    None => hints.pass_on(Heard::Anything),
                }
            }
        };
        let ended: Result<(), sqlx::Error> = listening.await;
        if let Err(error) = ended {
            tracing::debug!(%error, "hints of other processes are not heard just now");
        }
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

#[cfg(test)]
mod tests {
    use filmgate_core::time::UnixTime;

    use super::*;

    fn job(number: u8) -> VideoId {
        VideoId::mint(UnixTime::from_seconds(1), [number; 10])
    }

    /// What `to` hears of what `from` has to tell.
    fn heard(from: &Hints, to: &Hints) -> Option<Heard> {
        let mut listener = to.listen();
        to.hear(&from.message()?);
        listener.try_recv().ok()
    }

    #[test]
    fn a_process_hears_of_the_others_and_not_of_itself() {
        let (one, other) = (Hints::new("one".into()), Hints::new("other".into()));
        one.tell(job(1), false);
        let jobs = vec![job(1)];
        assert_eq!(
            heard(&one, &other),
            Some(Heard::Changed { jobs, due: false })
        );
        one.tell(job(1), false);
        assert_eq!(heard(&one, &one), None);
        assert_eq!(heard(&one, &other), None, "it was told already");
    }

    #[test]
    fn what_happens_together_is_told_together() {
        let (one, other) = (Hints::new("one".into()), Hints::new("other".into()));
        for number in [1, 2, 1] {
            one.tell(job(number), number == 2);
        }
        let Some(Heard::Changed { mut jobs, due }) = heard(&one, &other) else {
            panic!("two jobs can be named")
        };
        jobs.sort_unstable();
        assert_eq!((jobs, due), (vec![job(1), job(2)], true));
    }

    #[test]
    fn of_many_only_their_number_is_told_and_every_message_fits() {
        let (one, other) = (Hints::new("x".repeat(36)), Hints::new("other".into()));
        let many = |count: usize| {
            for number in 0..count {
                let at = UnixTime::from_seconds(i64::try_from(number).unwrap());
                one.tell(VideoId::mint(at, [0; 10]), true);
            }
        };
        many(MOST_NAMED);
        let message = one.message().unwrap();
        assert!(
            message.len() < 8000 && !message.ends_with('*'),
            "{}",
            message.len()
        );
        many(MOST_NAMED + 50);
        assert_eq!(heard(&one, &other), Some(Heard::Anything));
    }
}
