//! Several processes on one PostgreSQL database, and what becomes of it when one of them, a connection or the server
//! dies.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicUsize};

use filmgate_core::calendar::LimitReset;
use filmgate_core::id::VideoId;
use filmgate_core::job::{Event, apply};
use filmgate_core::key::{KeyChange, KeyRefusal, KeyTerms};
use filmgate_core::repeat::Answer;
use filmgate_core::request::ProviderName;
use filmgate_store::postgres::{Config, PostgresStore};
use filmgate_store::{AfterCommit, Basis, Committed, Created, Intake, Store, StoreError};
use filmgate_testbed::Cluster;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::task::JoinSet;

use crate::builders::*;
use crate::engine::{Engine, Postgres};

/// Two processes of the gateway.
async fn two(database: &Postgres) -> [Arc<dyn Store>; 2] {
    [database.open().await, database.open().await]
}

/// A connection of the test's own, as far as it must keep others waiting.
async fn bystander(database: &Postgres) -> PgConnection {
    PgConnection::connect(&database.config().url).await.unwrap()
}

/// Waits until so many statements of the gateway wait for somebody.
async fn until_waiting(database: &Postgres, statements: i64) {
    let mut watcher = bystander(database).await;
    for _ in 0..100_000 {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'filmgate' AND wait_event_type = 'Lock'",
        )
        .fetch_one(&mut watcher)
        .await
        .unwrap();
        if waiting == statements {
            return;
        }
    }
    panic!("{statements} statements were to wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_never_claim_the_same_job() {
    let database = Postgres::new().await;
    let stores = two(&database).await;
    let (ours, theirs) = (workspace(&*stores[0]).await, workspace(&*stores[0]).await);
    for number in 0..60 {
        let of = if number % 4 == 0 { theirs } else { ours };
        let mut job = Video::of(of).create(&*stores[0]).await;
        if number % 3 == 0 {
            live(&*stores[0], &mut job, vec![Event::Claimed], START).await;
        }
    }
    let now = START.plus(secs(3_600));
    let mut workers = JoinSet::new();
    for number in 0..8usize {
        let store = Arc::clone(&stores[number % 2]);
        workers.spawn(async move {
            let mut taken = Vec::new();
            while taken.len() <= 60 {
                let by = worker(&format!("worker-{number}"));
                let claims = store.claim_due(&intake(&by.0, now, 3)).await.unwrap();
                if claims.is_empty() {
                    break;
                }
                taken.extend(claims.into_iter().map(|claim| claim.job.admission.id));
            }
            taken
        });
    }
    let taken: Vec<VideoId> = workers.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken.len(), 60);
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), 60);
}

/// Places fall free one by one while every process looks for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_race_for_a_place_just_freed_keep_the_limit() {
    const PLACES: u32 = 2;
    const JOBS: usize = 90;
    let database = Postgres::new().await;
    let store = database.open().await;
    let of = workspace(&*store).await;
    for _ in 0..JOBS {
        Video::of(of).by(&["one"]).create(&*store).await;
    }
    // Those that are known to have a place: no more than really have.
    let placed = Arc::new(AtomicU32::new(0));
    let done = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for number in 0..6 {
        let (placed, done) = (Arc::clone(&placed), Arc::clone(&done));
        let store = database.open().await;
        workers.spawn(async move {
            let mut most = 0;
            while done.load(SeqCst) < JOBS {
                let intake = Intake {
                    places: Arc::new([(ProviderName("one".into()), PLACES)].into()),
                    ..intake(&format!("worker-{number}"), START, PLACES)
                };
                let claims = store.claim_due(&intake).await.unwrap();
                let mine = u32::try_from(claims.len()).unwrap();
                most = most.max(placed.fetch_add(mine, SeqCst) + mine);
                for claim in claims {
                    let mut job = claim.job;
                    work(&*store, &mut job, vec![Event::Claimed, submitted(1)], START).await;
                    placed.fetch_sub(1, SeqCst);
                    work(&*store, &mut job, vec![succeeded(), stored("out")], START).await;
                    done.fetch_add(1, SeqCst);
                }
            }
            most
        });
    }
    let most = workers.join_all().await.into_iter().max().unwrap();
    assert_eq!(most, PLACES);
}

#[tokio::test]
async fn what_one_process_is_just_taking_does_not_keep_another_waiting() {
    let database = Postgres::new().await;
    let store = database.open().await;
    let workspace = workspace(&*store).await;
    let first = Video::of(workspace).create(&*store).await;
    let second = Video::of(workspace)
        .at(START.plus(secs(1)))
        .create(&*store)
        .await;
    let mut taking = bystander(&database).await;
    let mut taking = taking.begin().await.unwrap();
    sqlx::query("SELECT FROM work WHERE job = $1 FOR UPDATE")
        .bind(first.admission.id.to_string())
        .execute(&mut *taking)
        .await
        .unwrap();
    let claimed = claim(&*store, "other", START.plus(secs(2))).await;
    assert_eq!(claimed.job.admission.id, second.admission.id);
}

#[tokio::test]
async fn a_lease_that_ran_out_in_one_process_is_taken_by_another() {
    let database = Postgres::new().await;
    let [first, second] = two(&database).await;
    let workspace = workspace(&*first).await;
    Video::of(workspace).create(&*first).await;
    let mut ours = claim(&*first, "first", START).await.job;
    work(&*first, &mut ours, vec![Event::Claimed], START).await;
    let none = second.claim_due(&intake("second", START, 10)).await;
    assert!(none.unwrap().is_empty(), "the lease still runs");

    let later = START.plus(LEASE);
    let mut theirs = claim(&*second, "second", later).await.job;
    assert!(theirs.fence > ours.fence);
    let keep = AfterCommit::KeepLease;
    let lost = commit(&*first, &mut ours, submitted(1), later, keep).await;
    assert_eq!(lost, Committed::Lost);
    let attempts = second.attempts(ours.admission.id).await.unwrap();
    assert!(attempts[0].native.is_some(), "what was learnt is kept");
    work(&*second, &mut theirs, vec![submitted(1)], later).await;
}

/// What came of creates sent to two processes at once.
async fn created(stores: &[Arc<dyn Store>; 2], videos: Vec<Video>) -> Vec<Created> {
    let mut creates = JoinSet::new();
    for (number, video) in videos.into_iter().enumerate() {
        let (store, new) = (Arc::clone(&stores[number % 2]), video.build());
        creates.spawn(async move { store.create_job(new).await.unwrap() });
    }
    creates.join_all().await
}

fn new_ones(created: &[Created]) -> usize {
    created.iter().filter(|it| **it == Created::New).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_bind_one_idempotency_key_once() {
    let database = Postgres::new().await;
    let stores = two(&database).await;
    let workspace = workspace(&*stores[0]).await;
    let video = Video::of(workspace).bound("key", 1, START.plus(secs(60)));
    let created = created(&stores, vec![video; 40]).await;
    assert_eq!(new_ones(&created), 1);
    let bound = created.iter().filter_map(|it| match it {
        Created::AlreadyBound(bound) => Some(&bound.object),
        _ => None,
    });
    let objects: Vec<_> = bound.collect();
    assert_eq!(objects.len(), 39);
    assert_eq!(objects.iter().collect::<HashSet<_>>().len(), 1);
    let audit = stores[1].audit().await.unwrap();
    assert_eq!((audit.jobs, audit.holds_open), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_spend_funds_and_limits_to_the_last_place_and_no_further() {
    let database = Postgres::new().await;
    let stores = two(&database).await;
    let funded = workspace(&*stores[0]).await;
    fund(&*stores[0], funded, 20 * HOLD).await;
    let paid = created(&stores, vec![Video::of(funded).needing_funds(); 40]).await;
    assert_eq!(new_ones(&paid), 20);

    let metered = workspace(&*stores[0]).await;
    let terms = KeyTerms {
        max_in_flight: Some(7),
        ..unlimited()
    };
    let key = keep_key(&*stores[1], metered, terms).await.key.id;
    let limited = created(&stores, vec![Video::of(metered).key(key); 30]).await;
    assert_eq!(new_ones(&limited), 7);
    let full = Created::KeyRefused(KeyRefusal::InFlight { most: 7 });
    assert_eq!(limited.iter().filter(|it| **it == full).count(), 23);

    let audit = stores[1].audit().await.unwrap();
    assert_eq!((audit.jobs, audit.holds_open), (27, 27));
    assert_eq!((audit.balances_wrong, audit.standings_wrong), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_that_arrive_at_once_in_two_processes_make_one_job() {
    let database = Postgres::new().await;
    let stores = two(&database).await;
    let workspace = workspace(&*stores[0]).await;
    let retries = (1..=20).map(|retry| Video::of(workspace).sent_again(1, retry));
    let created = created(&stores, retries.collect()).await;
    assert_eq!(new_ones(&created), 1, "{created:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_creates_at_once_that_say_nothing_one_finds_the_job_whose_answer_was_lost() {
    let database = Postgres::new().await;
    let stores = two(&database).await;
    let workspace = workspace(&*stores[0]).await;
    let video = Video::of(workspace).sent_again(1, 0);
    let lost = video.clone().create(&*stores[0]).await.admission.id;
    let noted = stores[0].note_answers(vec![lost], Answer::Lost);
    noted.await.unwrap();
    let created = created(&stores, vec![video; 20]).await;
    assert_eq!(new_ones(&created), 19);
    assert!(created.contains(&Created::Repeated(lost)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_waits_for_its_first_try_and_finds_its_job() {
    let database = Postgres::new().await;
    let [first, second] = two(&database).await;
    let workspace = workspace(&*first).await;
    let video = move |retry| Video::of(workspace).sent_again(1, retry).build();
    let new = video(0);
    let id = new.job.admission.id;
    // Whoever makes the same job and changes his mind keeps the first try waiting in the middle of it.
    let mut twin = bystander(&database).await;
    let mut twin = twin.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO jobs (id, workspace, generation, key, model, provider, state, status, version, created_at, life)
         VALUES ($1, $2, 'gen', 'key', 'model', 'provider', 'accepted', 'queued', 1, 0, '{}')",
    )
    .bind(id.to_string())
    .bind(workspace.to_string())
    .execute(&mut *twin)
    .await
    .unwrap();
    let mut tries = JoinSet::new();
    tries.spawn(async move { first.create_job(new).await.unwrap() });
    until_waiting(&database, 1).await;
    tries.spawn(async move { second.create_job(video(1)).await.unwrap() });
    until_waiting(&database, 2).await;
    twin.rollback().await.unwrap();
    let created = tries.join_all().await;
    assert!(
        created.contains(&Created::New) && created.contains(&Created::Repeated(id)),
        "{created:?}"
    );
}

#[tokio::test]
async fn the_answers_of_a_process_that_died_are_lost() {
    let database = Postgres::new().await;
    let [dies, lives] = two(&database).await;
    let workspace = workspace(&*lives).await;
    let video = || Video::of(workspace).sent_again(1, 0);
    let by_the_dead = video().create(&*dies).await;
    let given = video().create(&*dies).await;
    let by_the_living = video().create(&*lives).await;
    let noted = dies.note_answers(vec![given.admission.id], Answer::Given);
    noted.await.unwrap();
    drop(dies);
    // As long as it may only be slow, an identical create is a job of its own.
    video().create(&*lives).await;
    database.tamper(
        "UPDATE processes SET seen_at = seen_at - interval '1 minute'
         WHERE id = (SELECT answer_by FROM unacknowledged ORDER BY job LIMIT 1)",
    );
    let found = lives.create_job(video().build()).await.unwrap();
    assert_eq!(found, Created::Repeated(by_the_dead.admission.id));
    // Its answer is open again; the others' were given, or are being given by somebody who is alive.
    video().create(&*lives).await;
    assert_eq!(database.ask("SELECT count(*) FROM processes"), "1");
    let noted = lives.note_answers(vec![by_the_living.admission.id], Answer::Lost);
    noted.await.unwrap();
    let found = lives.create_job(video().build()).await.unwrap();
    assert_eq!(found, Created::Repeated(by_the_living.admission.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_in_the_middle_of_a_commit_leaves_nothing_half_done() {
    let database = Postgres::new().await;
    let store = database.open().await;
    let workspace = workspace(&*store).await;
    let mut job = Video::of(workspace).create(&*store).await;
    let before = store.audit().await.unwrap();
    let mut bystander = bystander(&database).await;
    let mut holding = bystander.begin().await.unwrap();
    // The last row of the commit: all others are written by then.
    holding
        .execute("SELECT FROM balances FOR UPDATE")
        .await
        .unwrap();
    let (id, transition) = (job.admission.id, apply(&job, cancel(), START).unwrap());
    let basis = Basis::Seen {
        version: job.version,
    };
    let mut committing = JoinSet::new();
    committing.spawn({
        let store = Arc::clone(&store);
        async move { store.commit(id, basis, transition).await }
    });
    until_waiting(&database, 1).await;
    holding
        .execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
                 AND application_name = 'filmgate' AND wait_event_type = 'Lock'",
        )
        .await
        .unwrap();
    let cut = committing.join_next().await.unwrap().unwrap();
    assert!(matches!(cut, Err(StoreError::Database(_))), "{cut:?}");
    holding.rollback().await.unwrap();
    assert_eq!(find(&*store, &job).await, job);
    assert_eq!(store.audit().await.unwrap(), before);
    let committed = change(&*store, &mut job, cancel(), START).await;
    assert_eq!(committed, Committed::Committed { version: 2 });
    assert_eq!(store.audit().await.unwrap().holds_open, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_undoes_for_another_is_done_again() {
    let database = Postgres::new().await;
    let store = database.open().await;
    let workspace = workspace(&*store).await;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let job = Video::of(workspace).sent_again(1, 0).create(&*store).await;
        ids.push(job.admission.id);
    }
    let mut other = bystander(&database).await;
    // Whoever waits longest finds out that both wait for each other, and is undone.
    other
        .execute("SET deadlock_timeout = '1 min'")
        .await
        .unwrap();
    let mut other = other.begin().await.unwrap();
    let take = "UPDATE unacknowledged SET matched = matched WHERE job = $1";
    let text = ids[1].to_string();
    sqlx::query(take)
        .bind(&text)
        .execute(&mut *other)
        .await
        .unwrap();
    let mut noting = JoinSet::new();
    noting.spawn({
        let (store, ids) = (Arc::clone(&store), ids.clone());
        async move { store.note_answers(ids, Answer::Lost).await }
    });
    until_waiting(&database, 1).await;
    let text = ids[0].to_string();
    sqlx::query(take)
        .bind(&text)
        .execute(&mut *other)
        .await
        .unwrap();
    other.commit().await.unwrap();
    noting.join_next().await.unwrap().unwrap().unwrap();
    let lost = "SELECT count(*) FROM unacknowledged WHERE answer = 'lost'";
    assert_eq!(database.ask(lost), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_outlives_its_server() {
    let cluster = Cluster::start();
    let config = Config {
        connections: 4,
        ..Config::at(cluster.database())
    };
    let store = PostgresStore::open(config).await.unwrap();
    let workspace = workspace(&store).await;
    let mut job = Video::of(workspace).create(&store).await;
    let steps = [
        (Cluster::kill as fn(&Cluster), Event::Claimed),
        (Cluster::stop, submitted(1)),
    ];
    for (stop, event) in steps {
        stop(&cluster);
        cluster.start_again();
        // Each connection may have to learn once that its server is gone.
        let mut works = false;
        for _ in 0..=4 {
            works = works || store.ping().await.is_ok();
        }
        assert!(works);
        assert_eq!(find(&store, &job).await, job);
        live(&store, &mut job, vec![event], START).await;
    }
    store.close().await;
}

/// Two processes, each in several hands, on the same jobs, keys and funds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_two_processes_do_at_once_the_books_are_right() {
    let database = Postgres::new().await;
    let stores = two(&database).await;
    let workspace = workspace(&*stores[0]).await;
    fund(&*stores[0], workspace, 40 * HOLD).await;
    let mut keys = Vec::new();
    for limit in [None, Some(nanos(20 * HOLD))] {
        let terms = KeyTerms {
            limit,
            ..unlimited()
        };
        keys.push(keep_key(&*stores[0], workspace, terms).await.key.id);
    }
    let mut hands = JoinSet::new();
    for number in 0..6u64 {
        let (store, keys) = (Arc::clone(&stores[number as usize % 2]), keys.clone());
        hands.spawn(async move {
            for step in 0..12u64 {
                let now = START.plus(secs((number + step) * 20_000));
                let key = keys[(number + step) as usize % 2];
                let mut video = Video::of(workspace).key(key).at(now).marked_up(1_234);
                if step % 3 == 0 {
                    video = video.needing_funds();
                }
                store.create_job(video.build()).await.unwrap();
                for claim in store.claim_due(&intake("w", now, 2)).await.unwrap() {
                    let mut job = claim.job;
                    // Another hand may be at the same job without a lease.
                    for event in a_life_costing(1 + (step * number) as i64) {
                        if apply(&job, event.clone(), now).is_err() {
                            break;
                        }
                        let done = commit(&*store, &mut job, event, now, AfterCommit::KeepLease);
                        if !matches!(done.await, Committed::Committed { .. }) {
                            break;
                        }
                    }
                    let seen = find(&*store, &job).await;
                    if let Ok(transition) = apply(&seen, cancel(), now) {
                        let basis = Basis::Seen {
                            version: seen.version,
                        };
                        let id = seen.admission.id;
                        store.commit(id, basis, transition).await.unwrap();
                    }
                }
                if step % 4 == number % 4 {
                    let reset = [
                        None,
                        Some(LimitReset::Daily),
                        Some(LimitReset::Weekly),
                        Some(LimitReset::Monthly),
                    ];
                    let change = KeyChange {
                        limit_reset: Some(reset[step as usize % 4]),
                        ..KeyChange::default()
                    };
                    let changed = store.change_key(keys[1], change, now, deed(workspace));
                    changed.await.unwrap().unwrap().unwrap();
                    fund(&*store, workspace, -1).await;
                }
            }
        });
    }
    hands.join_all().await;
    let audit = stores[0].audit().await.unwrap();
    assert!(audit.jobs > 20, "{audit:?}");
    assert_eq!(
        (audit.holds_closed_twice, audit.postings_unbalanced),
        (0, 0)
    );
    assert_eq!((audit.balances_wrong, audit.sum), (0, 0));
    assert_eq!((audit.standings_wrong, audit.activity_wrong), (0, 0));
}
