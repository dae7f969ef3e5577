//! Usage: sums over settled jobs, which are the sums of the ledger.

use std::collections::BTreeMap;

use filmgate_core::calendar::Day;
use filmgate_core::failure::Billed;
use filmgate_core::id::{KeyId, VideoId, WorkspaceId};
use filmgate_core::job::{Event, Job};
use filmgate_core::ledger::Account;
use filmgate_core::provider::Usage;
use filmgate_core::time::UnixTime;
use filmgate_store::{Dimension, Page, Store, StoredPosting, UsageFilter, UsageRow};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};

on_every_engine![
    sums_are_those_of_the_ledger_by_whatever_they_are_grouped,
    a_filter_leaves_what_it_means_and_nothing_else,
    from_is_meant_and_until_is_not,
    a_page_ends_where_it_was_told_to_and_says_that_there_is_more,
    a_job_counts_on_the_utc_day_of_its_capture,
    where_nothing_was_settled_sums_are_zero_and_groups_are_none,
    what_moved_no_money_and_brought_no_output_is_not_counted,
];

const DAY: u64 = 86_400;

/// Everything there is.
pub(crate) fn everything() -> UsageFilter {
    UsageFilter {
        workspace: None,
        key: None,
        model: None,
        provider: None,
        from: UnixTime::default(),
        until: UnixTime::from_seconds(10_000_000_000),
    }
}

/// Every posting of the workspace, read a few at a time, newest first.
pub(crate) async fn all_postings(store: &dyn Store, workspace: WorkspaceId) -> Vec<StoredPosting> {
    let mut read: Vec<StoredPosting> = Vec::new();
    loop {
        let before = read.last().map(|posting| posting.number);
        let page = store.postings(workspace, before, 7).await.unwrap();
        read.extend(page.rows);
        if !page.has_more {
            assert!(read.is_sorted_by(|newer, older| newer.number > older.number));
            return read;
        }
    }
}

/// What `postings` moved on `account`.
pub(crate) fn sum_on(account: Account, postings: &[StoredPosting]) -> i64 {
    let entries = postings.iter().flat_map(|posting| &posting.entries);
    let ours = entries.filter(|entry| entry.account == account);
    ours.map(|entry| entry.amount.0).sum()
}

/// A settled job as the test knows it: what it was made with, and when its money moved.
struct Settled {
    job: Job,
    at: UnixTime,
    outputs: u64,
}

impl Settled {
    fn word(&self, dimension: Dimension) -> String {
        let admission = &self.job.admission;
        match dimension {
            Dimension::Day => Day::of(self.at).to_string(),
            Dimension::Workspace => admission.workspace.to_string(),
            Dimension::Key => admission.key.to_string(),
            Dimension::Model => admission.request.model.0.clone(),
            Dimension::Provider => admission.route[0].provider.0.clone(),
        }
    }
}

/// Two workspaces, three keys, two models and two providers over five days; ends of all kinds.
struct Books {
    ours: WorkspaceId,
    settled: Vec<Settled>,
    postings: Vec<StoredPosting>,
}

async fn books(store: &dyn Store) -> Books {
    let (ours, theirs) = (workspace(store).await, workspace(store).await);
    let key = || KeyId::mint(START, entropy());
    let owners = [(ours, key()), (ours, key()), (theirs, key())];
    let mut settled = Vec::new();
    for number in 0..36u64 {
        let (workspace, key) = owners[number as usize % 3];
        let model = ["maker/model", "maker/other"][number as usize / 3 % 2];
        let provider = ["one", "two"][number as usize / 5 % 2];
        let at = START.plus(secs(number * 12_345));
        let video = Video::of(workspace).key(key).model(model).at(at);
        let video = video.by(&[provider]).marked_up(1_234);
        let (video, events, outputs) = match number % 6 {
            // Charged beyond the hold, and by an odd amount.
            0 => (video.holding(5), a_life_costing(1_003), 1),
            1 | 2 => (video, a_life_costing(777 + number as i64), 1),
            3 => {
                let events = vec![
                    Event::Claimed,
                    submitted(1),
                    failed(Billed::Yes, costing(55)),
                ];
                (video, events, 0)
            }
            4 => {
                let events = vec![
                    Event::Claimed,
                    submitted(1),
                    failed(Billed::Yes, Usage::default()),
                ];
                (video.at_the_operators_risk(), events, 0)
            }
            _ => (video, vec![cancel()], 0),
        };
        let mut job = video.create(store).await;
        let end = at.plus(secs(DAY / 2));
        live(store, &mut job, events, end).await;
        if number % 6 != 5 {
            settled.push(Settled {
                job,
                at: end,
                outputs,
            });
        }
    }
    let mut postings = all_postings(store, ours).await;
    postings.extend(all_postings(store, theirs).await);
    Books {
        ours,
        settled,
        postings,
    }
}

impl Books {
    /// The sums over the settled jobs that are `meant`, in order; their money is the ledger's.
    fn sums(&self, by: &[Dimension], meant: impl Fn(&Settled) -> bool) -> Vec<UsageRow> {
        let mut by_job: BTreeMap<VideoId, Vec<StoredPosting>> = BTreeMap::new();
        for posting in &self.postings {
            if let Some(job) = posting.job {
                by_job.entry(job).or_default().push(posting.clone());
            }
        }
        let mut groups: BTreeMap<Vec<String>, UsageRow> = BTreeMap::new();
        for settled in self.settled.iter().filter(|settled| meant(settled)) {
            let words = by.iter().map(|dimension| settled.word(*dimension));
            let row = groups.entry(words.collect()).or_default();
            let admission = &settled.job.admission;
            for dimension in by {
                match dimension {
                    Dimension::Day => row.day = Some(Day::of(settled.at)),
                    Dimension::Workspace => row.workspace = Some(admission.workspace),
                    Dimension::Key => row.key = Some(admission.key),
                    Dimension::Model => row.model = Some(settled.word(Dimension::Model)),
                    Dimension::Provider => row.provider = Some(settled.word(Dimension::Provider)),
                }
            }
            let postings = &by_job[&admission.id];
            let user_cost = nanos(sum_on(Account::Revenue, postings));
            let provider_cost = nanos(sum_on(Account::ProviderCost, postings));
            row.jobs += 1;
            row.outputs += settled.outputs;
            row.output_ms += settled.outputs * 4_000;
            row.user_cost = row.user_cost.checked_add(user_cost).unwrap();
            row.provider_cost = row.provider_cost.checked_add(provider_cost).unwrap();
        }
        groups.into_values().collect()
    }
}

async fn usage(store: &dyn Store, filter: UsageFilter, by: &[Dimension]) -> Vec<UsageRow> {
    let page = store.usage(filter, by.to_vec(), 1_000).await.unwrap();
    assert!(!page.has_more);
    page.rows
}

async fn sums_are_those_of_the_ledger_by_whatever_they_are_grouped(db: Database) {
    use Dimension::{Day, Key, Model, Provider, Workspace};
    let store = &*db.store;
    let books = books(store).await;
    for by in [
        &[][..],
        &[Day],
        &[Workspace],
        &[Key],
        &[Model],
        &[Provider],
        &[Day, Key],
        &[Key, Day],
        &[Provider, Model, Workspace],
        &[Day, Workspace, Key, Model, Provider],
    ] {
        let sums = usage(store, everything(), by).await;
        assert_eq!(sums, books.sums(by, |_| true), "by {by:?}");
        let charged: i64 = sums.iter().map(|row| row.user_cost.get()).sum();
        let paid: i64 = sums.iter().map(|row| row.provider_cost.get()).sum();
        assert_eq!(charged, sum_on(Account::Revenue, &books.postings));
        assert_eq!(paid, sum_on(Account::ProviderCost, &books.postings));
        assert_ne!(charged, paid, "the test tells them apart");
    }
}

async fn a_filter_leaves_what_it_means_and_nothing_else(db: Database) {
    let store = &*db.store;
    let books = books(store).await;
    let by = [Dimension::Day, Dimension::Key];
    let key = books.settled[1].job.admission.key;
    let from = START.plus(secs(DAY));
    let until = START.plus(secs(3 * DAY));
    type Meant<'a> = &'a dyn Fn(&Settled) -> bool;
    let filters: [(UsageFilter, Meant<'_>); 6] = [
        (
            UsageFilter {
                workspace: Some(books.ours),
                ..everything()
            },
            &|it| it.job.admission.workspace == books.ours,
        ),
        (
            UsageFilter {
                key: Some(key),
                ..everything()
            },
            &|it| it.job.admission.key == key,
        ),
        (
            UsageFilter {
                model: Some("maker/other".into()),
                ..everything()
            },
            &|it| it.word(Dimension::Model) == "maker/other",
        ),
        (
            UsageFilter {
                provider: Some("two".into()),
                ..everything()
            },
            &|it| it.word(Dimension::Provider) == "two",
        ),
        (
            UsageFilter {
                from,
                until,
                ..everything()
            },
            &|it| from <= it.at && it.at < until,
        ),
        (
            UsageFilter {
                workspace: Some(books.ours),
                key: Some(key),
                model: Some("maker/model".into()),
                provider: Some("one".into()),
                from,
                until,
            },
            &|it| {
                let model = it.word(Dimension::Model) == "maker/model";
                let provider = it.word(Dimension::Provider) == "one";
                let in_time = from <= it.at && it.at < until;
                model && provider && in_time && it.job.admission.key == key
            },
        ),
    ];
    for (filter, meant) in filters {
        let expected = books.sums(&by, meant);
        assert!(!expected.is_empty(), "the test looks for something");
        assert_eq!(usage(store, filter.clone(), &by).await, expected);
        let listed = store.activity(filter, None, 1_000).await.unwrap().rows;
        let meant = books.settled.iter().filter(|it| meant(it));
        let mut jobs: Vec<_> = meant.map(|it| it.job.admission.id).collect();
        jobs.reverse();
        let listed: Vec<_> = listed.into_iter().map(|row| row.job).collect();
        assert_eq!(listed, jobs, "activity takes the same filters");
    }
    let nobodys = UsageFilter {
        workspace: Some(WorkspaceId::mint(START, entropy())),
        key: Some(key),
        ..everything()
    };
    assert_eq!(usage(store, nobodys, &by).await, []);
}

/// A completed job whose provider takes `cost`, which is also what is charged.
async fn settle(store: &dyn Store, workspace: WorkspaceId, cost: i64, at: UnixTime) -> Job {
    let mut job = Video::of(workspace).create(store).await;
    live(store, &mut job, a_life_costing(cost), at).await;
    job
}

async fn from_is_meant_and_until_is_not(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let at = |millis| UnixTime::from_millis(START.millis() + millis);
    for (millis, cost) in [(0, 1), (1, 2), (2, 4)] {
        settle(store, workspace, cost, at(millis)).await;
    }
    for (from, until, cost) in [(0, 1, 1), (0, 2, 3), (1, 2, 2), (1, 3, 6), (1, 1, 0)] {
        let filter = UsageFilter {
            from: at(from),
            until: at(until),
            ..everything()
        };
        let sums = usage(store, filter, &[]).await;
        assert_eq!(sums[0].user_cost, nanos(cost), "from {from} to {until}");
    }
}

async fn a_page_ends_where_it_was_told_to_and_says_that_there_is_more(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    for day in 0..3 {
        let at = START.plus(secs(day * DAY));
        settle(store, workspace, 1 + day as i64, at).await;
    }
    let by = vec![Dimension::Day];
    let whole = usage(store, everything(), &by).await;
    assert_eq!(whole.len(), 3);
    for limit in 1..=4u32 {
        let page = store.usage(everything(), by.clone(), limit).await.unwrap();
        let expected = Page {
            rows: whole.iter().take(limit as usize).cloned().collect(),
            has_more: limit < 3,
        };
        assert_eq!(page, expected);
    }
}

async fn a_job_counts_on_the_utc_day_of_its_capture(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    let midnight = Day::of(START).end();
    let last = UnixTime::from_millis(midnight.millis() - 1);
    settle(store, workspace, 1, last).await;
    // It was made the day before.
    settle(store, workspace, 2, midnight).await;
    let sums = usage(store, everything(), &[Dimension::Day]).await;
    let days: Vec<_> = sums
        .iter()
        .map(|row| (row.day.unwrap().to_string(), row.user_cost.get()))
        .collect();
    let expected = [("2026-11-23".to_owned(), 1), ("2026-11-24".to_owned(), 2)];
    assert_eq!(days, expected);
}

async fn where_nothing_was_settled_sums_are_zero_and_groups_are_none(db: Database) {
    let store = &*db.store;
    workspace(store).await;
    assert_eq!(usage(store, everything(), &[]).await, [UsageRow::default()]);
    assert_eq!(usage(store, everything(), &[Dimension::Day]).await, []);
}

async fn what_moved_no_money_and_brought_no_output_is_not_counted(db: Database) {
    let store = &*db.store;
    let workspace = workspace(store).await;
    fund(store, workspace, 7).await;
    fund(store, workspace, -3).await;
    Video::of(workspace).create(store).await;
    let mut cancelled = Video::of(workspace).create(store).await;
    live(store, &mut cancelled, vec![cancel()], START).await;
    assert_eq!(usage(store, everything(), &[]).await, [UsageRow::default()]);
}
