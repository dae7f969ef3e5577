//! Jobs as clients see them.

use filmgate_core::job::{Event, State, Status};
use filmgate_store::{Balances, Found, ListJobs, Order, Recorded};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    a_created_job_is_found_as_it_was_made,
    another_workspaces_job_is_absent,
    the_versions_of_many_jobs_are_told_at_once_and_only_of_those_that_are_there,
    a_job_goes_from_creation_to_completion,
    a_deleted_job_leaves_its_books_behind,
    a_job_is_deleted_only_at_its_end_and_at_the_version_seen,
    the_objects_of_jobs_are_known_until_the_last_of_them_is_deleted,
    the_store_answers_a_ping,
];

async fn a_created_job_is_found_as_it_was_made(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let job = Video::of(workspace).create(store).await;
    assert_eq!(find(store, &job).await, job);
    let by_generation = store
        .find_generation(workspace, job.admission.generation_id)
        .await
        .unwrap();
    let recorded = Recorded {
        job: job.clone(),
        deleted: false,
    };
    assert_eq!(by_generation, Some(recorded));
    let id = job.admission.id;
    assert_eq!(store.version_of(workspace, id).await.unwrap(), Some(1));
    let timeline = store.timeline(id).await.unwrap();
    assert_eq!(timeline.len(), 1);
    assert_eq!(
        (timeline[0].cause.as_str(), timeline[0].at),
        ("created", START)
    );
    assert_eq!(store.attempts(id).await.unwrap(), []);
}

async fn another_workspaces_job_is_absent(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let job = Video::of(theirs).create(store).await;
    let (id, generation) = (job.admission.id, job.admission.generation_id);
    assert_eq!(store.find_job(ours, id).await.unwrap(), Found::Absent);
    assert_eq!(store.find_generation(ours, generation).await.unwrap(), None);
    assert_eq!(store.version_of(ours, id).await.unwrap(), None);
}

async fn the_versions_of_many_jobs_are_told_at_once_and_only_of_those_that_are_there(db: Database) {
    let store = &*db.store;
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let untouched = Video::of(ours).create(store).await.admission.id;
    let foreign = Video::of(theirs).create(store).await.admission.id;
    let mut gone = Video::of(ours).create(store).await;
    change(store, &mut gone, cancel(), START).await;
    let deleted = gone.admission.id;
    let never = Video::of(ours).build().job.admission.id;

    let asked = vec![never, untouched, deleted, foreign];
    let mut versions = store.versions_of(asked.clone()).await.unwrap();
    versions.sort();
    let mut expected = [(untouched, 1), (deleted, 2), (foreign, 1)];
    expected.sort();
    assert_eq!(versions, expected);

    assert!(store.delete_job(deleted, 2, START).await.unwrap());
    let mut versions = store.versions_of(asked).await.unwrap();
    versions.sort();
    let mut expected = [(untouched, 1), (foreign, 1)];
    expected.sort();
    assert_eq!(versions, expected);
    assert_eq!(store.versions_of(Vec::new()).await.unwrap(), []);
}

async fn a_job_goes_from_creation_to_completion(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut job = Video::of(workspace).create(store).await;
    let id = job.admission.id;

    let claimed = claim(store, "worker", START).await;
    job.fence = claimed.job.fence;
    assert_eq!(claimed.job, job);
    assert_eq!(claimed.lease_until, START.plus(LEASE));

    for (number, event) in [
        Event::Claimed,
        submitted(1),
        Event::Observed {
            progress: Some(40),
            expectation: Default::default(),
        },
        succeeded(),
        stored("w/v/1/0"),
    ]
    .into_iter()
    .enumerate()
    {
        let now = START.plus(secs(number as u64));
        work(store, &mut job, vec![event], now).await;
        assert_eq!(find(store, &job).await, job);
    }

    assert_eq!(job.life.status(), Status::Completed);
    assert_eq!(job.version, 6);
    let causes: Vec<_> = store
        .timeline(id)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.cause)
        .collect();
    assert_eq!(
        causes,
        ["created", "submitting", "submitted", "succeeded", "stored"]
    );
    assert_eq!(
        store.attempts(id).await.unwrap(),
        [job.life.attempt.clone().unwrap()]
    );
    let balances = store.balances(workspace).await.unwrap();
    assert_eq!((balances.available.0, balances.held.0), (-40_000_000, 0));
    let hold = job.admission.hold.unwrap().id;
    assert_eq!(store.closings(hold).await.unwrap(), 1);
    let audit = store.audit().await.unwrap();
    assert_eq!((audit.jobs, audit.jobs_not_terminal), (1, 0));
    assert_eq!((audit.holds_open, audit.balances_wrong), (0, 0));
    assert_eq!(audit.postings, 3, "hold, capture, provider's cost");
}

async fn a_deleted_job_leaves_its_books_behind(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let video = Video::of(workspace)
        .session(Some("s"))
        .metadata("a", "b")
        .input("w/in/1");
    let job = completed(store, video, "w/v/1/0").await;
    let (id, generation) = (job.admission.id, job.admission.generation_id);
    let (timeline, attempts) = (
        store.timeline(id).await.unwrap(),
        store.attempts(id).await.unwrap(),
    );
    let balances = store.balances(workspace).await.unwrap();
    assert_ne!(balances, Balances::default());

    assert!(store.delete_job(id, job.version, START).await.unwrap());

    assert_eq!(store.find_job(workspace, id).await.unwrap(), Found::Deleted);
    let recorded = store.find_generation(workspace, generation).await.unwrap();
    let recorded = recorded.unwrap();
    assert!(recorded.deleted && recorded.job.admission.request.prompt.is_empty());
    assert_eq!(recorded.job.life.settlement, job.life.settlement);
    assert_eq!(store.version_of(workspace, id).await.unwrap(), None);
    let query = ListJobs {
        workspace,
        order: Order::NewestFirst,
        after: None,
        before: None,
        status: Vec::new(),
        model: None,
        provider: None,
        session_id: None,
        created_from: None,
        created_until: None,
        limit: 10,
    };
    assert_eq!(store.list_jobs(query).await.unwrap().rows, []);
    assert_eq!(store.timeline(id).await.unwrap(), timeline);
    assert_eq!(store.attempts(id).await.unwrap(), attempts);
    assert_eq!(store.balances(workspace).await.unwrap(), balances);
    assert_eq!(store.audit().await.unwrap().balances_wrong, 0);
}

async fn a_job_is_deleted_only_at_its_end_and_at_the_version_seen(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut job = Video::of(workspace).create(store).await;
    let id = job.admission.id;
    assert!(!store.delete_job(id, job.version, START).await.unwrap());
    change(store, &mut job, cancel(), START).await;
    assert_eq!(job.life.state, State::Cancelled);
    assert!(!store.delete_job(id, job.version - 1, START).await.unwrap());
    assert_eq!(find(store, &job).await, job);
    assert!(store.delete_job(id, job.version, START).await.unwrap());
    assert!(!store.delete_job(id, job.version, START).await.unwrap());
}

async fn the_objects_of_jobs_are_known_until_the_last_of_them_is_deleted(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let first = completed(store, Video::of(workspace).input("in/shared"), "out/1").await;
    let second = completed(store, Video::of(workspace).input("in/shared"), "out/2").await;
    let known = async || {
        let asked = ["in/shared", "out/1", "out/1.thumbnail", "out/2", "stray"];
        let asked = asked.map(str::to_owned).to_vec();
        store.known_objects(asked).await.unwrap()
    };
    assert_eq!(
        known().await,
        ["in/shared", "out/1", "out/1.thumbnail", "out/2"]
    );
    let delete = async |id, version| store.delete_job(id, version, START).await.unwrap();
    assert!(delete(first.admission.id, first.version).await);
    assert_eq!(known().await, ["in/shared", "out/2"]);
    assert!(delete(second.admission.id, second.version).await);
    assert!(known().await.is_empty());
}

async fn the_store_answers_a_ping(db: Database) {
    db.store.ping().await.unwrap();
}
