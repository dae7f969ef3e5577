//! Housekeeping: what is removed in time, what is not, and whose turn it is.

use std::time::Duration;

use filmgate_core::job::Event;
use filmgate_core::time::UnixTime;
use filmgate_store::{Found, Prune, Pruned};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    a_chore_is_begun_by_one_and_by_nobody_else_until_it_is_time_again,
    bindings_go_when_they_expire,
    the_history_of_old_jobs_goes_and_the_jobs_stay,
    of_a_job_deleted_long_ago_its_id_and_its_books_stay,
    a_prune_takes_no_more_than_it_was_told_to,
    bytes_whose_time_is_over_are_the_jobs_no_longer,
];

const DAY: Duration = Duration::from_secs(24 * 3600);

fn pruning(now: UnixTime, kept: Duration) -> Prune {
    Prune {
        now,
        history_before: now.minus(kept),
        deleted_before: now.minus(kept),
        provider_keys_before: now,
        limit: 100,
    }
}

async fn a_chore_is_begun_by_one_and_by_nobody_else_until_it_is_time_again(db: Database) {
    let store = db.store.as_ref();
    let begin = async |name: &str, at: UnixTime| store.begin_chore(name, at, DAY).await.unwrap();
    assert!(begin("sweep", START).await);
    assert!(!begin("sweep", START).await);
    assert!(begin("prune", START).await);
    assert!(!begin("sweep", START.plus(DAY).minus(secs(1))).await);
    assert!(begin("sweep", START.plus(DAY)).await);
    assert!(!begin("sweep", START.plus(DAY)).await);
}

async fn bindings_go_when_they_expire(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    for (key, life) in [("short", 10), ("long", 20)] {
        let until = START.plus(secs(life));
        Video::of(workspace)
            .bound(key, 1, until)
            .create(store)
            .await;
    }
    let now = START.plus(secs(10));
    let pruned = store.prune(pruning(now, DAY)).await.unwrap();
    assert_eq!(
        pruned,
        Pruned {
            bindings: 1,
            ..Pruned::default()
        }
    );
    let find = async |key| {
        store
            .find_binding(workspace, "videos.create", key, START)
            .await
    };
    assert_eq!(find("short").await.unwrap(), None);
    assert!(find("long").await.unwrap().is_some());
}

async fn the_history_of_old_jobs_goes_and_the_jobs_stay(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    let old = completed(store, Video::of(workspace), "old").await;
    let later = START.plus(DAY);
    let new = completed(store, Video::of(workspace).at(later), "new").await;
    let lines = store.timeline(old.admission.id).await.unwrap().len() as u64;
    let pruned = store
        .prune(pruning(later.plus(DAY).minus(secs(1)), DAY))
        .await
        .unwrap();
    assert_eq!(
        (pruned.timeline, pruned.bindings, pruned.deleted_jobs),
        (lines, 0, 0)
    );
    assert!(pruned.outbox > 0);
    assert_eq!(store.timeline(old.admission.id).await.unwrap(), []);
    assert_ne!(store.timeline(new.admission.id).await.unwrap(), []);
    for job in [&old, &new] {
        let found = store.find_job(workspace, job.admission.id).await.unwrap();
        assert!(matches!(found, Found::Job(_)));
    }
    let again = store
        .prune(pruning(later.plus(DAY).minus(secs(1)), DAY))
        .await
        .unwrap();
    assert_eq!(again, Pruned::default());
    assert_clean(&store.audit().await.unwrap());
}

async fn of_a_job_deleted_long_ago_its_id_and_its_books_stay(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    let job = completed(store, Video::of(workspace), "k").await;
    let id = job.admission.id;
    assert!(store.delete_job(id, job.version, START).await.unwrap());
    let generation = job.admission.generation_id;
    let recorded = async || store.find_generation(workspace, generation).await.unwrap();
    assert!(recorded().await.is_some());
    let pruned = store.prune(pruning(START.plus(DAY), DAY)).await.unwrap();
    assert_eq!(pruned.deleted_jobs, 0, "the last millisecond is kept");
    let after = START.plus(DAY).plus(Duration::from_millis(1));
    assert_eq!(
        store.prune(pruning(after, DAY)).await.unwrap().deleted_jobs,
        1
    );
    assert_eq!(store.find_job(workspace, id).await.unwrap(), Found::Deleted);
    assert!(recorded().await.is_none());
    assert_ne!(
        store.attempts(id).await.unwrap(),
        [],
        "what was paid for it"
    );
    assert_eq!(
        store.prune(pruning(after, DAY)).await.unwrap(),
        Pruned::default()
    );
    assert_clean(&store.audit().await.unwrap());
}

async fn a_prune_takes_no_more_than_it_was_told_to(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    for number in 0..3 {
        let key = format!("k{number}");
        Video::of(workspace)
            .bound(&key, 1, START.plus(secs(1)))
            .create(store)
            .await;
        let job = completed(store, Video::of(workspace), &key).await;
        store
            .delete_job(job.admission.id, job.version, START)
            .await
            .unwrap();
    }
    let some = Prune {
        limit: 2,
        ..pruning(START.plus(DAY * 2), DAY)
    };
    let pruned = store.prune(some).await.unwrap();
    assert_eq!((pruned.bindings, pruned.timeline), (2, 2));
    assert_eq!((pruned.outbox, pruned.deleted_jobs), (2, 2));
    let pruned = store.prune(some).await.unwrap();
    assert_eq!((pruned.bindings, pruned.deleted_jobs), (1, 1));
}

async fn bytes_whose_time_is_over_are_the_jobs_no_longer(db: Database) {
    let store = db.store.as_ref();
    let workspace = workspace(store).await;
    let video = Video::of(workspace).input("input").kept_for(secs(60));
    let mut job = completed(store, video, "output").await;
    let until = START.plus(secs(60));
    let names = || vec!["input".to_owned(), "output".to_owned()];
    assert_eq!(store.known_objects(names()).await.unwrap(), names());
    let due = store
        .claim_due(&intake("a", until.minus(secs(1)), 10))
        .await;
    assert_eq!(due.unwrap(), []);
    job.fence = claim(store, "a", until).await.job.fence;
    work(store, &mut job, vec![Event::BytesExpired], until).await;
    assert_eq!(
        store.known_objects(names()).await.unwrap(),
        Vec::<String>::new()
    );
    assert_eq!(job.life.bytes_removed_at, Some(until));
}
