//! What only a store in a PostgreSQL database promises of that database.

use std::net::TcpListener;

use filmgate_core::job::Event;
use filmgate_core::repeat::RetryCount;
use filmgate_store::postgres::{Config, PostgresStore};
use filmgate_store::{Fingerprint, ListJobs, Order, Places, Store, StoreError};
use filmgate_testbed::Cluster;
use tokio::task::JoinSet;

use crate::builders::*;
use crate::engine::{Database, Engine, Postgres};
use crate::ledger::books;
use crate::usage::everything;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_processes_that_start_at_once_one_brings_the_schema_up_to_date() {
    let database = Postgres::empty();
    let mut starts = JoinSet::new();
    for _ in 0..6 {
        let config = database.config();
        starts.spawn(async move { PostgresStore::open(config).await.unwrap() });
    }
    for store in starts.join_all().await {
        store.ping().await.unwrap();
        store.close().await;
    }
    let applied =
        database.ask("SELECT count(*), count(*) FILTER (WHERE success) FROM _sqlx_migrations");
    assert_eq!(applied, "3|3");
    assert_eq!(database.ask("SELECT count(*) FROM processes"), "0");
}

#[tokio::test]
async fn a_database_of_a_newer_release_is_refused() {
    let database = Postgres::new().await;
    database.tamper(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (1000, 'later', true, '', 0)",
    );
    let refused = database.try_open().await;
    assert!(
        matches!(
            refused,
            Err(StoreError::Newer {
                found: 1000,
                known: 3
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn another_programs_database_is_left_alone() {
    let database = Postgres::empty();
    database.tamper("CREATE TABLE songs (name text)");
    assert!(matches!(
        database.try_open().await,
        Err(StoreError::Open(_))
    ));
    let tables = database.ask("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace");
    assert_eq!(tables, "songs");
}

#[tokio::test]
async fn what_cannot_be_opened_is_said_in_one_sentence_without_the_password() {
    // Whoever listened there has gone.
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let nobody = format!("postgres://filmgate:hunter2@127.0.0.1:{port}/filmgate");
    let shared = Cluster::shared().port();
    let unknown = format!("postgres://filmgate:hunter2@127.0.0.1:{shared}/nobodys");
    let senseless = "postgres://filmgate:hunter2@127.0.0.1:seven/filmgate";
    for (url, said) in [
        (
            nobody.as_str(),
            format!("PostgreSQL at 127.0.0.1:{port} cannot be reached"),
        ),
        (&unknown, "database \"nobodys\" does not exist".to_owned()),
        (senseless, "the database's address is not one".to_owned()),
    ] {
        let config = Config::at(url);
        let shown = format!("{config:?}");
        let refused = PostgresStore::open(config).await.unwrap_err();
        let told = format!("{refused} {refused:?} {shown}");
        assert!(told.contains(&said), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

/// Nothing runs between the closing and the look: whatever is to be done was done by then.
#[tokio::test]
async fn closing_leaves_no_connection_and_refuses_what_comes_later() {
    let database = Postgres::new().await;
    let store = database.open().await;
    let workspace = workspace(&*store).await;
    let job = Video::of(workspace).create(&*store).await;
    store.close().await;
    store.close().await;
    // A connection that was shut is there until its server process has noticed.
    let gone = (0..1000).any(|_| {
        let left = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'filmgate'";
        database.ask(left) == "0"
    });
    assert!(gone);
    assert!(matches!(store.ping().await, Err(StoreError::Closed)));
    let found = store.find_job(workspace, job.admission.id).await;
    assert!(matches!(found, Err(StoreError::Closed)));
    assert!(matches!(store.audit().await, Err(StoreError::Closed)));
}

/// The schema refuses such rows; the audit does not count on that.
#[tokio::test]
async fn the_audit_finds_what_the_schema_was_made_to_let_through() {
    let db = Database::new(Postgres::new().await).await;
    books(&*db.store).await;
    db.engine.tamper(
        "ALTER TABLE postings DROP CONSTRAINT a_posting_sums_to_zero;
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
async fn what_is_too_old_does_not_pile_up() {
    let database = Postgres::new().await;
    let store = database.open().await;
    let workspace = workspace(&*store).await;
    for number in 0..20 {
        let now = START.plus(secs(number * 1_000));
        let key = format!("key-{number}");
        let video = Video::of(workspace).at(now);
        let bound = video.clone().bound(&key, 1, now.plus(secs(60)));
        bound.create(&*store).await;
        video.sent_again(1, 0).create(&*store).await;
    }
    assert_eq!(database.ask("SELECT count(*) FROM bindings"), "1");
    assert_eq!(database.ask("SELECT count(*) FROM unacknowledged"), "1");
}

/// PostgreSQL's texts cannot hold it, and what providers and clients say is not always text.
#[tokio::test]
async fn a_nul_in_what_was_said_keeps_no_job_from_its_end() {
    let db = Database::new(Postgres::new().await).await;
    let store = &*db.store;
    let workspace = workspace(store).await;
    let video = Video::of(workspace)
        .session(Some("s\0"))
        .prompt("a\0fox")
        .metadata("m\0", "\0");
    let mut job = video.create(store).await;
    assert_eq!(find(store, &job).await, job);
    let query = ListJobs {
        workspace,
        order: Order::NewestFirst,
        after: None,
        before: None,
        status: Vec::new(),
        model: None,
        provider: None,
        session_id: Some("s\0".into()),
        created_from: None,
        created_until: None,
        limit: 10,
    };
    assert_eq!(store.list_jobs(query).await.unwrap().rows, [job.clone()]);
    let submitted = Event::Submitted {
        attempt: 1,
        native: filmgate_core::provider::NativeId("native\0".into()),
        expectation: Default::default(),
    };
    let failure = filmgate_core::failure::Failure::permanent(
        filmgate_core::failure::FailureCode::ProviderError,
        "it\0broke",
    );
    let failed = Event::FailedUpstream {
        failure,
        usage: costing(5),
    };
    live(
        store,
        &mut job,
        vec![Event::Claimed, submitted, failed],
        START,
    )
    .await;
    assert_eq!(find(store, &job).await, job);
    assert_eq!(store.find_key("\0").await.unwrap(), None);
}

/// However the tables grow: the plans are made before anybody has counted what is in them.
#[tokio::test]
async fn no_operation_of_daily_life_reads_a_whole_table() {
    let database = Postgres::new().await;
    let store = &*database.open().await;
    let workspace = workspace(store).await;
    let key = keep_key(store, workspace, unlimited()).await.key.id;
    for number in 0..60u8 {
        let at = START.plus(secs(u64::from(number)));
        for retry in [0, 1].map(RetryCount) {
            let digest = [number % 5; 32];
            let fingerprint = Fingerprint { digest, retry };
            store.take_repeat(fingerprint, at).await.unwrap();
        }
        let video = Video::of(workspace).key(key).at(at).session(Some("s"));
        let mut job = video.sent_again(number % 3, 0).create(store).await;
        let bound = Video::of(workspace).at(at);
        let bound = bound.bound(&number.to_string(), 1, at.plus(secs(5)));
        bound.create(store).await;
        let (id, hold) = (job.admission.id, job.admission.hold.unwrap().id);
        if number % 2 == 0 {
            store.acknowledge_job(workspace, id).await.unwrap();
            live(store, &mut job, a_life_costing(5), at).await;
            store
                .find_generation(workspace, job.admission.generation_id)
                .await
                .unwrap();
        }
        for claim in store.claim_due(&intake("a", at, 1)).await.unwrap() {
            let claimed = claim.job.admission.id;
            store
                .renew(claimed, claim.job.fence, at.plus(LEASE))
                .await
                .unwrap();
            store.give_back(claimed, claim.job.fence).await.unwrap();
        }
        store.next_due(START, &Places::default()).await.unwrap();
        store.version_of(workspace, id).await.unwrap();
        store.timeline(id).await.unwrap();
        store.attempts(id).await.unwrap();
        store.latest_successes(32).await.unwrap();
        store.closings(hold).await.unwrap();
        store.balances(workspace).await.unwrap();
        store.key_standing(key).await.unwrap();
        store.has_activity(workspace, id).await.unwrap();
        store.known_objects(vec!["out".into()]).await.unwrap();
        store
            .find_binding(workspace, "videos.create", "1", at)
            .await
            .unwrap();
        store.activity(everything(), None, 3).await.unwrap();
        store.postings(workspace, None, 3).await.unwrap();
    }
    // What each connection has counted is told when it ends. Whoever leaves looks once through what he leaves behind.
    store.close().await;
    let read_whole = || {
        database.ask(
            "SELECT string_agg(relname, ' ') FROM pg_stat_user_tables WHERE relname <> '_sqlx_migrations'
                 AND seq_scan > (relname = 'unacknowledged')::int",
        )
    };
    assert_eq!(read_whole(), "");
    let claims_read = database.ask(
        "SELECT count(*) FROM pg_stat_user_indexes
             WHERE indexrelname IN ('work_fetching', 'work_not_fetching') AND idx_scan > 0",
    );
    assert_eq!(claims_read, "2");
}
