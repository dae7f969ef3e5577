//! Random histories of several workspaces and keys: whatever happens, the books are right.
//!
//! A plain model of each history says what must be admitted, what refused and why, and what the books hold in the
//! end. It keeps every movement and adds them up anew whenever it is asked.

use std::collections::BTreeMap;

use filmgate_core::calendar::LimitReset;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::id::{KeyId, WorkspaceId};
use filmgate_core::job::{Event, Job, State, Transition, apply};
use filmgate_core::key::{KeyChange, KeyRefusal, KeyTerms};
use filmgate_core::ledger::Account;
use filmgate_core::money::Nanos;
use filmgate_core::time::UnixTime;
use filmgate_store::{Audit, Basis, Committed, Created, Dimension, Store};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

use crate::builders::*;
use crate::engine::{Database, on_every_engine};
use crate::usage::{all_postings, everything, sum_on};

on_every_engine![whatever_happens_the_books_are_right];

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// A top-up, or what is taken back.
    Credit {
        workspace: Index,
        amount: i64,
    },
    /// With the key number `key`.
    Create {
        key: Index,
        hold: i64,
        prepaid: bool,
        at_the_operators_risk: bool,
    },
    /// To a job there is, one after the other, as far as they are taken.
    Happens {
        job: Index,
        what: Vec<What>,
    },
    /// The terms of a key change.
    Change {
        key: Index,
        change: KeyChange,
    },
    Pass {
        hours: u64,
    },
}

#[derive(Debug, Clone)]
enum What {
    /// Whatever brings a job nearer to its output, or the fate of one that was given up to light.
    Onward {
        cost: i64,
    },
    Cancelled,
    Expired,
    Claimed,
    Submitted,
    Refused(Billed),
    /// With what the provider takes, where it says so.
    Succeeded(Option<i64>),
    Stored,
    /// Ends the job, or leaves it to the next provider.
    Failed {
        billed: Billed,
        cost: Option<i64>,
        retryable: bool,
    },
    NeverFetched,
    FateLearnt {
        billed: Billed,
        cost: Option<i64>,
    },
    FateUnknown,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let billed = || select(vec![Billed::Yes, Billed::No, Billed::Unknown]);
    let cost = || prop::option::of(0..250i64);
    let what = prop_oneof![
        20 => (0..250i64).prop_map(|cost| What::Onward { cost }),
        2 => Just(What::Cancelled),
        1 => Just(What::Expired),
        1 => Just(What::Claimed),
        1 => Just(What::Submitted),
        1 => billed().prop_map(What::Refused),
        1 => cost().prop_map(What::Succeeded),
        1 => Just(What::Stored),
        3 => (billed(), cost(), any::<bool>())
            .prop_map(|(billed, cost, retryable)| What::Failed { billed, cost, retryable }),
        1 => Just(What::NeverFetched),
        2 => (billed(), cost()).prop_map(|(billed, cost)| What::FateLearnt { billed, cost }),
        1 => Just(What::FateUnknown),
    ];
    let reset = select(vec![
        None,
        Some(LimitReset::Daily),
        Some(LimitReset::Weekly),
        Some(LimitReset::Monthly),
    ]);
    let change = prop_oneof![
        prop::option::of(0..600i64).prop_map(|limit| KeyChange {
            limit: Some(limit.map(nanos)),
            ..KeyChange::default()
        }),
        reset.prop_map(|reset| KeyChange {
            limit_reset: Some(reset),
            ..KeyChange::default()
        }),
        prop::option::of(1..5u32).prop_map(|most| KeyChange {
            max_in_flight: Some(most),
            ..KeyChange::default()
        }),
    ];
    let index = any::<Index>;
    let step = prop_oneof![
        2 => (index(), -300..1_500i64)
            .prop_map(|(workspace, amount)| Step::Credit { workspace, amount }),
        5 => (index(), 0..200i64, prop::bool::weighted(0.3), any::<bool>()).prop_map(
            |(key, hold, prepaid, at_the_operators_risk)| {
                Step::Create { key, hold, prepaid, at_the_operators_risk }
            }
        ),
        8 => (index(), prop::collection::vec(what, 1..6))
            .prop_map(|(job, what)| Step::Happens { job, what }),
        1 => (index(), change).prop_map(|(key, change)| Step::Change { key, change }),
        2 => (0..90u64).prop_map(|hours| Step::Pass { hours }),
    ];
    prop::collection::vec(step, 1..50)
}

async fn whatever_happens_the_books_are_right(db: Database) {
    let handle = tokio::runtime::Handle::current();
    let run = move || {
        let config = Config {
            cases: 24,
            failure_persistence: None,
            ..Config::default()
        };
        TestRunner::new(config)
            .run(&steps(), |steps| {
                handle.block_on(async {
                    let fresh = db.engine.another().await;
                    happen(&*fresh.store, steps).await;
                    fresh.store.close().await;
                });
                Ok(())
            })
            .unwrap();
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}

async fn happen(store: &dyn Store, steps: Vec<Step>) {
    let mut model = Model::new(store).await;
    for step in steps {
        match step {
            Step::Credit { workspace, amount } => {
                let workspace = *workspace.get(&model.workspaces);
                fund(store, workspace, amount).await;
                let moved = [(Account::Available, amount), (Account::Funding, -amount)];
                model.moved(workspace, None, moved);
                model.postings += 1;
            }
            Step::Create {
                key,
                hold,
                prepaid,
                at_the_operators_risk,
            } => {
                let key = key.index(model.keys.len());
                model
                    .create(store, key, hold, prepaid, at_the_operators_risk)
                    .await;
            }
            Step::Happens { job, what } if !model.jobs.is_empty() => {
                let job = job.index(model.jobs.len());
                for what in what {
                    model.happens(store, job, what).await;
                }
            }
            Step::Happens { .. } => {}
            Step::Change { key, change } => {
                let key = key.index(model.keys.len());
                model.change(store, key, change).await;
            }
            Step::Pass { hours } => model.now = model.now.plus(secs(hours * 3_600)),
        }
    }
    model.compare(store).await;
}

/// What was moved on one account, when, and by which key's job.
struct Movement {
    at: UnixTime,
    workspace: WorkspaceId,
    key: Option<KeyId>,
    account: Account,
    amount: i64,
}

struct Model {
    now: UnixTime,
    workspaces: Vec<WorkspaceId>,
    keys: Vec<(KeyId, WorkspaceId, KeyTerms)>,
    jobs: Vec<Job>,
    movements: Vec<Movement>,
    postings: u64,
}

impl Model {
    /// Two workspaces and four keys: without a limit, and with one of either kind.
    async fn new(store: &dyn Store) -> Self {
        let workspaces = vec![workspace(store).await, workspace(store).await];
        let limited = |limit_reset| KeyTerms {
            limit: Some(nanos(400)),
            limit_reset,
            ..unlimited()
        };
        let mut keys = Vec::new();
        for (of, terms) in [
            (0, unlimited()),
            (0, limited(None)),
            (1, limited(Some(LimitReset::Daily))),
            (
                1,
                KeyTerms {
                    max_in_flight: Some(2),
                    ..limited(Some(LimitReset::Weekly))
                },
            ),
        ] {
            let key = keep_key(store, workspaces[of], terms).await.key;
            keys.push((key.id, workspaces[of], key.terms));
        }
        Self {
            now: START,
            workspaces,
            keys,
            jobs: Vec::new(),
            movements: Vec::new(),
            postings: 0,
        }
    }

    fn moved(
        &mut self,
        workspace: WorkspaceId,
        key: Option<KeyId>,
        amounts: impl IntoIterator<Item = (Account, i64)>,
    ) {
        let at = self.now;
        let movements = amounts.into_iter().map(|(account, amount)| Movement {
            at,
            workspace,
            key,
            account,
            amount,
        });
        self.movements.extend(movements);
    }

    fn posted(&mut self, job: usize, transition: &Transition) {
        let admission = self.jobs[job].admission.clone();
        let amounts = Account::ALL.map(|account| (account, transition.effect_on(account).0));
        self.moved(admission.workspace, Some(admission.key), amounts);
        self.postings += transition.postings.len() as u64;
    }

    fn sum(&self, account: Account, meant: impl Fn(&Movement) -> bool) -> i64 {
        let ours = self
            .movements
            .iter()
            .filter(|it| it.account == account && meant(it));
        ours.map(|it| it.amount).sum()
    }

    /// What the key's jobs hold now, and have captured in the period of now.
    fn used(&self, key: KeyId, terms: &KeyTerms) -> i64 {
        let start = terms.period_start(self.now);
        self.sum(Account::Held, |it| it.key == Some(key))
            + self.sum(Account::Revenue, |it| it.key == Some(key) && it.at >= start)
    }

    fn in_flight(&self, key: KeyId) -> u64 {
        let ours = self.jobs.iter().filter(|job| job.admission.key == key);
        ours.filter(|job| !job.life.status().is_terminal()).count() as u64
    }

    /// What must come of a create.
    fn verdict(&self, key: usize, hold: i64, prepaid: bool) -> Created {
        let (key, workspace, terms) = &self.keys[key];
        if let Some(most) = terms.max_in_flight
            && self.in_flight(*key) >= u64::from(most)
        {
            return Created::KeyRefused(KeyRefusal::InFlight { most });
        }
        let used = self.used(*key, terms);
        if let Some(limit) = terms.limit
            && used + hold > limit.get()
        {
            return Created::KeyRefused(KeyRefusal::Limit {
                limit,
                used: nanos(used),
                resets_at: terms
                    .limit_reset
                    .filter(|_| hold <= limit.get())
                    .map(|reset| reset.period(self.now).end),
            });
        }
        let available = self.sum(Account::Available, |it| it.workspace == *workspace);
        if prepaid && available < hold {
            return Created::InsufficientFunds;
        }
        Created::New
    }

    async fn create(
        &mut self,
        store: &dyn Store,
        key: usize,
        hold: i64,
        prepaid: bool,
        at_the_operators_risk: bool,
    ) {
        let (id, workspace, _) = self.keys[key];
        let mut video = Video::of(workspace).key(id).holding(hold).at(self.now);
        video = video.marked_up(1_234);
        if prepaid {
            video = video.needing_funds();
        }
        if at_the_operators_risk {
            video = video.at_the_operators_risk();
        }
        let new = video.build();
        let created = store.create_job(new.clone()).await.unwrap();
        assert_eq!(created, self.verdict(key, hold, prepaid));
        if created != Created::New {
            return;
        }
        self.jobs.push(new.job);
        self.posted(self.jobs.len() - 1, &new.opening);
        let (_, _, terms) = &self.keys[key];
        if let Some(limit) = terms.limit {
            assert!(
                self.used(id, terms) <= limit.get(),
                "admitted beyond the limit"
            );
        }
    }

    async fn happens(&mut self, store: &dyn Store, job: usize, what: What) {
        let before = &self.jobs[job];
        let Ok(transition) = apply(before, event(before, what), self.now) else {
            return;
        };
        let basis = Basis::Seen {
            version: before.version,
        };
        let committed = store
            .commit(before.admission.id, basis, transition.clone())
            .await;
        let version = before.version + 1;
        assert_eq!(committed.unwrap(), Committed::Committed { version });
        self.posted(job, &transition);
        self.jobs[job].version = version;
        self.jobs[job].life = transition.life;
    }

    async fn change(&mut self, store: &dyn Store, key: usize, change: KeyChange) {
        let now = self.now;
        let (id, workspace, terms) = &mut self.keys[key];
        let changed = store
            .change_key(*id, change.clone(), now, deed(*workspace))
            .await;
        let changed = changed.unwrap().unwrap().map(|key| key.terms);
        assert_eq!(changed, terms.changed(&change));
        if let Ok(changed) = changed {
            *terms = changed;
        }
    }

    async fn compare(&self, store: &dyn Store) {
        let terminal = |job: &&Job| job.life.status().is_terminal();
        let settled = |job: &&Job| job.life.settlement.is_some();
        let ended = self.jobs.iter().filter(terminal).count();
        let closed = self.jobs.iter().filter(settled).count();
        let expected = Audit {
            jobs: self.jobs.len() as u64,
            jobs_not_terminal: (self.jobs.len() - ended) as u64,
            holds_open: (self.jobs.len() - closed) as u64,
            postings: self.postings,
            // And nothing is wrong.
            ..Audit::default()
        };
        assert_eq!(store.audit().await.unwrap(), expected);
        for job in &self.jobs {
            let hold = job.admission.hold.unwrap().id;
            let closings = store.closings(hold).await.unwrap();
            assert_eq!(closings, u64::from(job.life.settlement.is_some()));
            assert_eq!(find(store, job).await, *job);
        }
        let mut ledger = Vec::new();
        for workspace in &self.workspaces {
            let postings = all_postings(store, *workspace).await;
            let balances = store.balances(*workspace).await.unwrap();
            for (account, balance) in [
                (Account::Available, balances.available.0),
                (Account::Held, balances.held.0),
            ] {
                assert_eq!(balance, sum_on(account, &postings));
                let model = self.sum(account, |it| it.workspace == *workspace);
                assert_eq!(balance, model);
            }
            ledger.extend(postings);
        }
        let sums = store.usage(everything(), vec![], 1).await.unwrap().rows;
        assert_eq!(sums[0].user_cost.get(), sum_on(Account::Revenue, &ledger));
        let paid = sum_on(Account::ProviderCost, &ledger);
        assert_eq!(sums[0].provider_cost.get(), paid);
        self.compare_keys(store).await;
    }

    async fn compare_keys(&self, store: &dyn Store) {
        let by = vec![Dimension::Key];
        let rows = store.usage(everything(), by, 10).await.unwrap().rows;
        let charged: BTreeMap<_, _> = rows
            .into_iter()
            .map(|row| (row.key.unwrap(), row.user_cost))
            .collect();
        for (key, _, terms) in &self.keys {
            let standing = store.key_standing(*key).await.unwrap();
            assert_eq!(standing.in_flight, self.in_flight(*key));
            let held = self.sum(Account::Held, |it| it.key == Some(*key));
            assert_eq!(standing.held, nanos(held));
            let used = nanos(self.used(*key, terms));
            assert_eq!(terms.used(&standing, self.now), used);
            let ever = self.sum(Account::Revenue, |it| it.key == Some(*key));
            let counted = charged.get(key).copied().unwrap_or(Nanos::ZERO);
            assert_eq!(counted, nanos(ever));
        }
    }
}

fn event(job: &Job, what: What) -> Event {
    let attempt = job.life.submissions;
    let usage = |cost: Option<i64>| cost.map(costing).unwrap_or_default();
    match what {
        What::Onward { cost } => match &job.life.state {
            State::Accepted => Event::Claimed,
            State::Submitting { .. } => submitted(attempt),
            State::Running { .. } => succeeded_for(cost),
            State::Fetching { .. } => stored(&format!("out/{}", job.admission.id)),
            State::Completed { .. }
            | State::Failed { .. }
            | State::Cancelled
            | State::Expired { .. } => Event::FateKnown {
                billed: Billed::Yes,
                usage: costing(cost),
            },
        },
        What::Cancelled => cancel(),
        What::Expired => Event::Expire,
        What::Claimed => Event::Claimed,
        What::Submitted => submitted(attempt),
        What::Refused(billed) => Event::Refused {
            attempt,
            failure: Failure::permanent(FailureCode::ProviderError, "no").billed(billed),
            jitter: secs(0),
        },
        What::Succeeded(None) => succeeded(),
        What::Succeeded(Some(cost)) => succeeded_for(cost),
        What::Stored => stored(&format!("out/{}", job.admission.id)),
        What::Failed {
            billed,
            cost,
            retryable,
        } => Event::FailedUpstream {
            failure: Failure {
                retryable,
                ..Failure::permanent(FailureCode::ProviderError, "it broke").billed(billed)
            },
            usage: usage(cost),
        },
        What::NeverFetched => Event::FetchFailed {
            failure: Failure::passing(FailureCode::OutputUnavailable, "it is gone"),
        },
        What::FateLearnt { billed, cost } => Event::FateKnown {
            billed,
            usage: usage(cost),
        },
        What::FateUnknown => Event::FatePending {
            wait: secs(60),
            cancel_asked: true,
        },
    }
}
