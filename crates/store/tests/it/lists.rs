//! Pages, against a model that sorts and filters everything in memory.

use filmgate_core::id::{VideoId, WorkspaceId};
use filmgate_core::job::{Job, Status};
use filmgate_core::time::UnixTime;
use filmgate_store::{ListJobs, Order, Page, Store};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    any_page_is_the_models_page,
    walking_meets_every_old_job_once_while_new_ones_arrive,
    a_page_before_a_job_ends_right_there,
];

fn all(workspace: WorkspaceId, order: Order, limit: u32) -> ListJobs {
    ListJobs {
        workspace,
        order,
        after: None,
        before: None,
        status: Vec::new(),
        model: None,
        provider: None,
        session_id: None,
        created_from: None,
        created_until: None,
        limit,
    }
}

fn ids(page: &Page<Job>) -> Vec<VideoId> {
    page.rows.iter().map(|job| job.admission.id).collect()
}

/// What the page must be, by the seam's words alone.
fn model(jobs: &[Job], query: &ListJobs) -> Page<Job> {
    let mut kept: Vec<Job> = jobs
        .iter()
        .filter(|job| {
            let (admission, request) = (&job.admission, &job.admission.request);
            let provider = &job.shown_candidate().provider.0;
            admission.workspace == query.workspace
                && (query.status.is_empty() || query.status.contains(&job.life.status()))
                && query
                    .model
                    .as_ref()
                    .is_none_or(|model| *model == request.model.0)
                && query.provider.as_ref().is_none_or(|name| name == provider)
                && (query.session_id.is_none() || query.session_id == request.session_id)
                && query
                    .created_from
                    .is_none_or(|from| admission.created_at >= from)
                && query
                    .created_until
                    .is_none_or(|until| admission.created_at <= until)
        })
        .cloned()
        .collect();
    kept.sort_by_key(|job| job.admission.id);
    if query.order == Order::NewestFirst {
        kept.reverse();
    }
    let precedes = |a: VideoId, b: VideoId| match query.order {
        Order::NewestFirst => a > b,
        Order::OldestFirst => a < b,
    };
    kept.retain(|job| {
        let id = job.admission.id;
        query.after.is_none_or(|after| precedes(after, id))
            && query.before.is_none_or(|before| precedes(id, before))
    });
    let has_more = kept.len() > query.limit as usize;
    if query.before.is_some() {
        kept.drain(..kept.len().saturating_sub(query.limit as usize));
    } else {
        kept.truncate(query.limit as usize);
    }
    Page {
        rows: kept,
        has_more,
    }
}

/// Jobs of two workspaces that differ in everything a list can ask for.
async fn many(store: &dyn Store) -> (Vec<Job>, [WorkspaceId; 2]) {
    let workspaces = [workspace(store).await, workspace(store).await];
    let mut jobs = Vec::new();
    for number in 0..60u64 {
        let video = Video::of(workspaces[usize::from(number % 5 == 0)])
            .at(START.plus(secs(number / 3)))
            .model(if number % 2 == 0 {
                "maker/a"
            } else {
                "maker/b"
            })
            .by(if number % 3 == 0 { &["one"] } else { &["two"] })
            .session((number % 4 == 0).then_some("s"));
        let job = match number % 7 {
            0 | 1 => {
                let mut job = video.create(store).await;
                change(store, &mut job, cancel(), START).await;
                job
            }
            2 => completed(store, video, &format!("out/{number}")).await,
            _ => video.create(store).await,
        };
        jobs.push(job);
    }
    // What was deleted is in no list.
    for _ in 0..3 {
        let at = jobs
            .iter()
            .position(|job| job.life.status().is_terminal())
            .unwrap();
        let gone = jobs.swap_remove(at);
        let deleted = store.delete_job(gone.admission.id, gone.version, START);
        assert!(deleted.await.unwrap());
    }
    for job in &mut jobs {
        job.fence = find(store, job).await.fence;
    }
    (jobs, workspaces)
}

fn any_query(
    jobs: &[Job],
    workspaces: [WorkspaceId; 2],
) -> impl Strategy<Value = ListJobs> + use<> {
    let mut cursors: Vec<Option<VideoId>> = jobs.iter().map(|job| Some(job.admission.id)).collect();
    let edges = [0, u128::MAX].map(uuid::Uuid::from_u128);
    cursors.extend(edges.map(|edge| Some(VideoId::from_uuid(edge))));
    let cursor = prop_oneof![2 => Just(None), 1 => select(cursors)];
    let instant = |seconds| START.plus(secs(seconds));
    let edges = [i64::MIN, i64::MAX].map(UnixTime::from_millis).to_vec();
    let bound = prop::option::of(prop_oneof![
        4 => (0u64..25).prop_map(instant),
        1 => select(edges),
    ]);
    let word = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        prop_oneof![2 => Just(None), 1 => select(words).prop_map(Some)]
    };
    let statuses = prop_oneof![
        1 => Just(Vec::new()),
        1 => prop::collection::vec(select(Status::ALL.to_vec()), 1..4),
    ];
    let filters = (
        statuses,
        word(&["maker/a", "maker/b", "maker/c"]),
        word(&["one", "two"]),
        word(&["s", "t"]),
    );
    (
        select(workspaces.to_vec()),
        select(vec![Order::NewestFirst, Order::OldestFirst]),
        (cursor.clone(), cursor),
        filters,
        (bound.clone(), bound),
        1u32..20,
    )
        .prop_map(
            |(workspace, order, cursors, filters, bounds, limit)| ListJobs {
                workspace,
                order,
                after: cursors.0,
                before: cursors.1,
                status: filters.0,
                model: filters.1,
                provider: filters.2,
                session_id: filters.3,
                created_from: bounds.0,
                created_until: bounds.1,
                limit,
            },
        )
}

async fn any_page_is_the_models_page(db: Database) {
    let (jobs, workspaces) = many(&*db.store).await;
    let handle = tokio::runtime::Handle::current();
    let run = move || {
        let config = Config {
            cases: 512,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&any_query(&jobs, workspaces), |query| {
                let page = handle.block_on(db.store.list_jobs(query.clone())).unwrap();
                prop_assert_eq!(page, model(&jobs, &query));
                Ok(())
            })
            .unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

async fn walking_meets_every_old_job_once_while_new_ones_arrive(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut old = Vec::new();
    for number in 0..25 {
        let job = Video::of(workspace)
            .at(START.plus(secs(number)))
            .create(store)
            .await;
        old.push(job.admission.id);
    }
    let mut query = all(workspace, Order::NewestFirst, 4);
    let mut met = Vec::new();
    loop {
        let page = store.list_jobs(query.clone()).await.unwrap();
        met.extend(ids(&page));
        Video::of(workspace)
            .at(START.plus(secs(100)))
            .create(store)
            .await;
        if !page.has_more {
            break;
        }
        query.after = met.last().copied();
    }
    old.reverse();
    assert_eq!(met, old);
}

async fn a_page_before_a_job_ends_right_there(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let mut made = Vec::new();
    for number in 0..10 {
        let job = Video::of(workspace)
            .at(START.plus(secs(number)))
            .create(store)
            .await;
        made.push(job.admission.id);
    }
    let mut query = all(workspace, Order::OldestFirst, 3);
    query.before = Some(made[7]);
    let page = store.list_jobs(query.clone()).await.unwrap();
    assert_eq!((ids(&page), page.has_more), (made[4..7].to_vec(), true));
    query.order = Order::NewestFirst;
    let page = store.list_jobs(query).await.unwrap();
    assert_eq!((ids(&page), page.has_more), (vec![made[9], made[8]], false));
}
