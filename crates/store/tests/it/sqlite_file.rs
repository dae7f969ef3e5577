//! What only a store in a file of its own promises.

use filmgate_core::job::Event;
use filmgate_store::sqlite::{Config, SqliteStore};
use filmgate_store::{AfterCommit, Committed, Places, StoreError};
use tokio::sync::broadcast::error::RecvError;

use crate::builders::*;
use crate::engine::{Database, Engine, Sqlite};
use crate::ledger::books;

#[tokio::test]
async fn reopening_ends_every_lease() {
    let mut db = Database::new(Sqlite::new()).await;
    let workspace = workspace(&*db.store).await;
    Video::of(workspace).create(&*db.store).await;
    let mut before = claim(&*db.store, "before", START).await.job;
    db.reopen().await;
    assert_eq!(
        db.store.next_due(START, &Places::default()).await.unwrap(),
        Some(START)
    );
    let after = claim(&*db.store, "after", START).await.job;
    assert!(after.fence > before.fence);
    let keep = AfterCommit::KeepLease;
    let lost = commit(&*db.store, &mut before, Event::Claimed, START, keep).await;
    assert_eq!(lost, Committed::Lost);
}

#[tokio::test]
async fn nothing_is_ever_heard_of_others_because_there_are_none() {
    let files = Sqlite::new();
    let mut heard = files.open().await.listen();
    assert_eq!(heard.recv().await, Err(RecvError::Closed));
}

#[tokio::test]
async fn a_deleted_prompt_is_in_no_file() {
    const MARK: &str = "a-lighthouse-nobody-else-asks-for";
    let files = Sqlite::new();
    let store = files.open().await;
    let workspace = workspace(&*store).await;
    // Long enough to spill over into pages of its own.
    let long = MARK.repeat(1000);
    let first = completed(
        &*store,
        Video::of(workspace).prompt(MARK).session(Some(MARK)),
        "1",
    )
    .await;
    let second = completed(
        &*store,
        Video::of(workspace).prompt(&long).metadata("m", MARK),
        MARK,
    )
    .await;
    store.close().await;
    assert!(anywhere(&files, MARK), "the test looks in the right place");

    let store = files.open().await;
    for job in [first, second] {
        let deleted = store.delete_job(job.admission.id, job.version, START);
        assert!(deleted.await.unwrap());
    }
    store.close().await;
    assert!(!anywhere(&files, MARK));
}

/// Whether any file of the database holds `text`.
fn anywhere(files: &Sqlite, text: &str) -> bool {
    std::fs::read_dir(files.directory()).unwrap().any(|file| {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn closing_leaves_one_file_and_refuses_what_comes_later() {
    let files = Sqlite::new();
    let store = files.open().await;
    let workspace = workspace(&*store).await;
    let job = Video::of(workspace).create(&*store).await;
    store.close().await;
    store.close().await;
    let left = std::fs::read_dir(files.directory()).unwrap().count();
    assert_eq!(left, 1, "the log is folded in");
    assert!(matches!(store.ping().await, Err(StoreError::Closed)));
    let found = store.find_job(workspace, job.admission.id).await;
    assert!(matches!(found, Err(StoreError::Closed)));
    assert!(matches!(store.audit().await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn what_was_answered_before_closing_is_there_after_it() {
    let mut db = Database::new(Sqlite::new()).await;
    let workspace = workspace(&*db.store).await;
    let job = completed(&*db.store, Video::of(workspace), "out").await;
    db.reopen().await;
    assert_eq!(find(&*db.store, &job).await, job);
}

#[tokio::test]
async fn a_file_of_a_newer_release_is_refused() {
    let files = Sqlite::new();
    files.open().await.close().await;
    files.tamper("PRAGMA user_version = 1000");
    assert!(matches!(
        open(&files),
        Err(StoreError::Newer { found: 1000, .. })
    ));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let files = Sqlite::new();
    std::fs::write(
        files.path(),
        "not a database, but longer than the header of one is ".repeat(100),
    )
    .unwrap();
    assert!(matches!(open(&files), Err(StoreError::Open(_))));
}

fn open(files: &Sqlite) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(Config::at(files.path()))
}

/// The schema refuses such rows; the audit does not count on that.
#[tokio::test]
async fn the_audit_finds_what_the_schema_was_made_to_let_through() {
    let db = Database::new(Sqlite::new()).await;
    books(&*db.store).await;
    db.engine.tamper(
        "PRAGMA ignore_check_constraints = ON;
         UPDATE postings SET revenue = revenue + 5 WHERE kind = 'capture';
         DROP INDEX postings_by_hold;
         INSERT INTO postings (workspace, job, kind, hold, at, available, held, revenue, provider_cost, providers, funding)
             SELECT workspace, job, 'release', hold, at, 0, 0, 0, 0, 0, 0 FROM postings WHERE kind = 'capture'",
    );
    let audit = db.store.audit().await.unwrap();
    assert_eq!((audit.postings_unbalanced, audit.sum), (1, 5));
    assert_eq!(audit.holds_closed_twice, 1);
    assert_eq!(audit.balances_wrong, 1);
}

#[tokio::test]
async fn expired_bindings_do_not_pile_up() {
    let files = Sqlite::new();
    let store = files.open().await;
    let workspace = workspace(&*store).await;
    for number in 0..20 {
        let now = START.plus(secs(number * 100));
        let key = format!("key-{number}");
        let video = Video::of(workspace).at(now);
        let video = video.bound(&key, 1, now.plus(secs(60)));
        video.create(&*store).await;
    }
    store.close().await;
    let left: i64 = rusqlite::Connection::open(files.path())
        .unwrap()
        .query_row("SELECT count(*) FROM bindings", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 1);
}
