//! A file of the first release, brought up to this one's schema.

use filmgate_core::failure::Billed;
use filmgate_core::id::WorkspaceId;
use filmgate_core::job::{Event, Job, Status, Transition, apply};
use filmgate_core::ledger::{Account, Posting, PostingKind};
use filmgate_core::time::UnixTime;
use filmgate_store::{Basis, Committed, Created, Inserted, NewJob, Once, Store, StoredKey};
use rusqlite::{Connection, params};

use crate::builders::*;
use crate::engine::{Database, Sqlite};
use crate::usage::{all_postings, everything};

/// A job with everything that happened to it, in order.
struct History {
    new: NewJob,
    then: Vec<(Transition, UnixTime)>,
    /// As it is in the end.
    job: Job,
}

fn history(video: Video, events: Vec<Event>, at: UnixTime) -> History {
    let new = video.build();
    let mut job = new.job.clone();
    let mut then = Vec::new();
    for event in events {
        let transition = apply(&job, event, at).unwrap();
        job.life = transition.life.clone();
        job.version += 1;
        then.push((transition, at));
    }
    History { new, then, job }
}

/// What the first release knew of a job: every column it had.
fn write(db: &Connection, history: &History) {
    let (job, admission) = (&history.job, &*history.job.admission);
    let life = &job.life;
    let id = admission.id.to_string();
    let accepted = life.attempt.as_ref().filter(|it| it.accepted_at.is_some());
    let shown = accepted.map_or(&admission.route[0].provider, |attempt| &attempt.provider);
    db.execute(
        "INSERT INTO jobs (id, workspace, generation, model, provider, session, state, status, version, fence,
             created_at, ended_at, due_at, life)
         VALUES (?1, ?2, ?3, ?4, ?5, NULL, ?6, ?7, ?8, 0, ?9, ?10, ?11, ?12)",
        params![
            id,
            admission.workspace.to_string(),
            admission.generation_id.to_string(),
            admission.request.model.0,
            shown.0,
            life.state.name(),
            life.status().as_str(),
            job.version as i64,
            admission.created_at.millis(),
            life.ended_at.map(UnixTime::millis),
            life.due_at.map(UnixTime::millis),
            serde_json::to_string(life).unwrap(),
        ],
    )
    .unwrap();
    db.execute(
        "INSERT INTO admissions (job, admission) VALUES (?1, ?2)",
        params![
            db.last_insert_rowid(),
            serde_json::to_string(admission).unwrap()
        ],
    )
    .unwrap();
    for posting in &history.new.opening.postings {
        post(
            db,
            admission.workspace,
            Some(&id),
            posting,
            admission.created_at,
        );
    }
    for (transition, at) in &history.then {
        for posting in &transition.postings {
            post(db, admission.workspace, Some(&id), posting, *at);
        }
    }
}

fn post(
    db: &Connection,
    workspace: WorkspaceId,
    job: Option<&str>,
    posting: &Posting,
    at: UnixTime,
) {
    let on = |account| posting.effect_on(account).0;
    let amounts = Account::ALL.map(on);
    db.execute(
        "INSERT INTO postings (workspace, job, kind, hold, at, reason, available, held, revenue, provider_cost,
             providers, funding)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        params![
            workspace.to_string(),
            job,
            posting.kind.as_str(),
            posting.hold.map(|hold| hold.to_string()),
            at.millis(),
            job.is_none().then_some("a test"),
            amounts[0],
            amounts[1],
            amounts[2],
            amounts[3],
            amounts[4],
            amounts[5],
        ],
    )
    .unwrap();
    db.execute_batch(
        "DELETE FROM balances;
         INSERT INTO balances SELECT workspace, sum(available), sum(held), sum(revenue), sum(provider_cost),
             sum(providers), sum(funding) FROM postings GROUP BY workspace;",
    )
    .unwrap();
}

/// A file as the first release left it.
fn first_release(files: &Sqlite, workspace: WorkspaceId, keys: &[StoredKey], jobs: &[History]) {
    let db = Connection::open(files.path()).unwrap();
    db.execute_batch(include_str!("../../migrations/sqlite/0001_initial.sql"))
        .unwrap();
    db.pragma_update(None, "user_version", 1).unwrap();
    db.execute(
        "INSERT INTO workspaces (id, name, created_at) VALUES (?1, ?2, ?3)",
        params![
            workspace.to_string(),
            format!("of {workspace}"),
            START.millis()
        ],
    )
    .unwrap();
    for StoredKey {
        key, secret_sha256, ..
    } in keys
    {
        db.execute(
            "INSERT INTO keys (id, kid, workspace, name, role, secret_sha256, created_at, revoked_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, NULL)",
            params![
                key.id.to_string(),
                key.kid,
                workspace.to_string(),
                key.terms.name,
                key.terms.role.as_str(),
                secret_sha256,
                key.created_at.millis(),
            ],
        )
        .unwrap();
    }
    let funds = Posting::top_up(nanos(10 * HOLD));
    post(&db, workspace, None, &funds, START);
    for job in jobs {
        write(&db, job);
    }
}

/// The same through this release's store.
async fn this_release(
    store: &dyn Store,
    workspace: WorkspaceId,
    keys: &[StoredKey],
    jobs: &[History],
) {
    let made = filmgate_core::key::Workspace {
        id: workspace,
        name: format!("of {workspace}"),
        created_at: START,
    };
    let made = store.insert_workspace(made, deed(workspace)).await;
    assert_eq!(made.unwrap(), Once::Done(Inserted::New));
    for key in keys {
        let made = store.insert_key(key.clone(), deed(workspace)).await;
        assert_eq!(made.unwrap(), Once::Done(Inserted::New));
    }
    fund(store, workspace, 10 * HOLD).await;
    for History { new, then, .. } in jobs {
        let created = store.create_job(new.clone()).await.unwrap();
        assert_eq!(created, Created::New);
        for (version, (transition, _)) in (1..).zip(then) {
            let (id, basis) = (new.job.admission.id, Basis::Seen { version });
            let committed = store.commit(id, basis, transition.clone()).await.unwrap();
            assert!(matches!(committed, Committed::Committed { .. }));
        }
    }
}

/// Every kind of end the first release knew, and jobs under way.
fn histories(workspace: WorkspaceId, keys: &[StoredKey]) -> Vec<History> {
    let day = |number: u64| START.plus(secs(number * 86_400));
    let video = |key: usize| Video::of(workspace).key(keys[key].key.id).marked_up(1_234);
    let running = || vec![Event::Claimed, submitted(1)];
    let billed = || failed(Billed::Yes, costing(60));
    let with = |mut events: Vec<Event>, end: Event| {
        events.push(end);
        events
    };
    let late_bill = Event::FateKnown {
        billed: Billed::Yes,
        usage: costing(60),
    };
    vec![
        history(video(0), a_life_costing(1_003), day(0)),
        history(video(0).holding(5), a_life_costing(1_003), day(1)),
        history(video(0), vec![cancel()], day(1)),
        history(video(0), running(), day(2)),
        history(
            video(0).at_the_operators_risk(),
            with(running(), billed()),
            day(2),
        ),
        history(video(1), with(running(), billed()), day(3)),
        history(video(1), vec![Event::Claimed], day(3)),
        // Given up, and its fate not yet known: the hold stays.
        history(video(1), with(running(), cancel()), day(4)),
        history(video(1), with(with(running(), cancel()), late_bill), day(4)),
        history(video(1), a_life_costing(0), day(4)),
        history(video(1), vec![], day(0)),
    ]
}

#[tokio::test]
async fn a_file_of_the_first_release_is_as_if_this_one_had_written_it() {
    let workspace = WorkspaceId::mint(START, entropy());
    // The last one never made a job.
    let keys = [(); 3].map(|()| key(workspace, unlimited()));
    let jobs = histories(workspace, &keys);
    let (old, new) = (Sqlite::new(), Database::new(Sqlite::new()).await);
    first_release(&old, workspace, &keys, &jobs);
    this_release(&*new.store, workspace, &keys, &jobs).await;

    let old = Database::new(old).await;
    let (old, new) = (&*old.store, &*new.store);
    assert_eq!(old.audit().await.unwrap(), new.audit().await.unwrap());
    for key in &keys {
        let found = old.find_key(&key.key.kid).await.unwrap();
        assert_eq!(found.as_ref(), Some(key), "with terms that limit nothing");
        let standing = old.key_standing(key.key.id).await.unwrap();
        assert_eq!(standing, new.key_standing(key.key.id).await.unwrap());
    }
    let standing = old.key_standing(keys[0].key.id).await.unwrap();
    assert_eq!((standing.in_flight, standing.held), (1, nanos(HOLD)));
    assert_eq!(standing.captured, nanos(2 * 1_127), "1003 and 12.34 %");

    let activity = async |store: &dyn Store| {
        let page = store.activity(everything(), None, 100).await.unwrap();
        page.rows
    };
    assert_eq!(activity(old).await, activity(new).await);
    assert_eq!(activity(old).await.len(), 6);
    assert_eq!(
        all_postings(old, workspace).await,
        all_postings(new, workspace).await
    );
    assert_eq!(
        old.balances(workspace).await.unwrap(),
        new.balances(workspace).await.unwrap()
    );
    for job in &jobs {
        assert_eq!(find(old, &job.job).await, job.job);
    }
    assert_eq!(old.actions(None, None, 10).await.unwrap().rows, []);
}

#[tokio::test]
async fn work_goes_on_where_the_first_release_left_it() {
    let workspace = WorkspaceId::mint(START, entropy());
    let keys = [(); 2].map(|()| key(workspace, unlimited()));
    let jobs = histories(workspace, &keys);
    let files = Sqlite::new();
    first_release(&files, workspace, &keys, &jobs);
    let db = Database::new(files).await;
    let store = &*db.store;

    let taken = fund(store, workspace, -7).await;
    assert_eq!(taken.kind, PostingKind::Adjustment);
    let later = START.plus(secs(10 * 86_400));
    let claims = store.claim_due(&intake("a", later, 10)).await;
    let mut claimed = claims.unwrap();
    assert_eq!(claimed.len(), 4, "two under way, one waiting, one fate");
    for claim in &mut claimed {
        let job = &mut claim.job;
        let events = match (job.life.state.name(), job.life.status()) {
            (_, Status::Cancelled) => vec![Event::FateKnown {
                billed: Billed::Yes,
                usage: costing(7),
            }],
            ("accepted", _) => a_life_costing(9),
            ("submitting", _) => vec![submitted(1), succeeded_for(9), stored("out")],
            _ => vec![succeeded_for(9), stored("out")],
        };
        live(store, job, events, later).await;
    }
    let audit = store.audit().await.unwrap();
    assert_eq!((audit.jobs_not_terminal, audit.holds_open), (0, 0));
    assert_eq!((audit.standings_wrong, audit.activity_wrong), (0, 0));
    assert_eq!((audit.balances_wrong, audit.postings_unbalanced), (0, 0));
    for key in &keys {
        let standing = store.key_standing(key.key.id).await.unwrap();
        assert_eq!((standing.in_flight, standing.held), (0, nanos(0)));
    }
    Video::of(workspace).key(keys[0].key.id).create(store).await;
}
