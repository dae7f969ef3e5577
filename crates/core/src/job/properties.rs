//! Random histories: whatever happens in whatever order, these hold.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use super::*;
use crate::asset::Asset;
use crate::failure::{Billed, Failure, FailureCode};
use crate::frame_size::FrameSize;
use crate::id::{AssetId, GenerationId, HoldId, KeyId, ProviderKeyId, VideoId, WorkspaceId};
use crate::ledger::{Account, PostingKind};
use crate::money::{BasisPoints, Delta, Nanos};
use crate::pricing::PriceRules;
use crate::provider::{Delivery, NativeId, Source, SubmitRepeat, Usage};
use crate::request::{ModelId, ProviderName, Request, Shape};
use crate::time::UnixTime;

const START: UnixTime = UnixTime::from_seconds(1_795_420_800);

fn nanos(value: i64) -> Nanos {
    Nanos::new(value).unwrap()
}

fn candidate(
    name: usize,
    submit_repeat: SubmitRepeat,
    priced: bool,
    credential: Option<ProviderKeyId>,
) -> Candidate {
    let price = priced.then(|| PriceRules::by_output_second(nanos(10_000_000)));
    Candidate {
        provider: ProviderName(format!("p{name}")),
        native_model: "m".into(),
        shape: Shape {
            seconds: Some(4),
            size: Some(FrameSize::new(1280, 720)),
            audio: Some(false),
            ..Shape::default()
        },
        quote: priced.then(|| nanos(40_000_000)),
        price,
        submit_repeat,
        left_out: Vec::new(),
        credential,
    }
}

prop_compose! {
    fn admission()(
        repeats in prop::collection::vec(select(vec![SubmitRepeat::SameKey, SubmitRepeat::Lookup, SubmitRepeat::Never]), 1..4),
        priced: bool,
        byok: bool,
        byok_fee in select(vec![0u32, 1, 250, 10_000]),
        markup in select(vec![0u32, 1, 333, 2_000]),
        abandoned in select(vec![Abandoned::User, Abandoned::Operator]),
        ambiguous_submit in select(vec![AmbiguousSubmit::Fail, AmbiguousSubmit::Retry]),
        max_cost in select(vec![None, Some(50_000_000), Some(10_000_000)]),
        samples in 1u32..3,
        retention_seconds in select(vec![None, Some(0), Some(100_000)]),
    ) -> Admission {
        let mut request = Request::new(ModelId("m/m".into()), "a boat");
        request.sample_count = samples;
        request.max_cost = max_cost.map(nanos);
        let id = Uuid::nil();
        let credential = byok.then(|| ProviderKeyId::from_uuid(id));
        // A workspace that pays the provider itself has the operator's fee held, and nothing where there is none.
        let held = priced && !(byok && byok_fee == 0);
        Admission {
            id: VideoId::from_uuid(id),
            workspace: WorkspaceId::from_uuid(id),
            key: KeyId::from_uuid(id),
            request_id: "req".into(),
            generation_id: GenerationId::from_uuid(id),
            created_at: START,
            origin: "http://127.0.0.1".into(),
            request: Arc::new(request),
            route: repeats.iter().enumerate().map(|(name, repeat)| candidate(name, *repeat, priced, credential)).collect(),
            dropped: Vec::new(),
            terms: Terms { mode: Mode::Metered, markup: BasisPoints(markup), byok_fee: BasisPoints(byok_fee), abandoned, ambiguous_submit, retention_seconds },
            hold: held.then(|| HoldTerms { id: HoldId::from_uuid(id), amount: nanos(50_000_000) }),
            quoted: None,
            retried_from: None,
        }
    }
}

fn failure() -> impl Strategy<Value = Failure> {
    (
        any::<bool>(),
        select(vec![Billed::Yes, Billed::No, Billed::Unknown]),
        prop::option::of(0u64..400),
    )
        .prop_map(|(retryable, billed, wait)| {
            Failure {
                retryable,
                ..Failure::permanent(FailureCode::ProviderError, "it broke")
            }
            .billed(billed)
            .retry_after(wait.map(Duration::from_secs))
        })
}

fn usage() -> impl Strategy<Value = Usage> {
    prop_oneof![
        Just(Usage::default()),
        (0u64..30_000).prop_map(|ms| Usage {
            output_ms: Some(ms),
            ..Usage::default()
        }),
        (0i64..100_000_000).prop_map(|cost| Usage {
            cost: Nanos::new(cost),
            ..Usage::default()
        }),
    ]
}

fn asset(index: u32) -> Asset {
    Asset {
        id: AssetId::from_uuid(Uuid::nil()),
        index,
        key: "k".into(),
        mime_type: "video/mp4".into(),
        bytes: 1,
        sha256: "00".into(),
        size: FrameSize::new(1280, 720),
        duration_ms: 4_021,
        audio: false,
        thumbnail: None,
    }
}

fn event() -> impl Strategy<Value = Event> {
    let attempt = 1u32..5;
    let wait = (0u64..100).prop_map(Duration::from_secs);
    let billed = select(vec![Billed::Yes, Billed::No, Billed::Unknown]);
    let expectation =
        (prop::option::of(0u64..1000), 0u64..30).prop_map(|(total, next)| Expectation {
            total: total.map(Duration::from_secs),
            next_poll: Duration::from_secs(next),
        });
    let delivery = usage().prop_map(|usage| Delivery {
        outputs: vec![Source::Url {
            url: "http://127.0.0.1/x".into(),
            send_credential: false,
        }],
        missing: Vec::new(),
        usage,
    });
    prop_oneof![
        1 => Just(Event::Cancel { by: KeyId::from_uuid(Uuid::nil()) }),
        1 => Just(Event::Expire),
        1 => Just(Event::DeadlinePassed { deadline: Duration::from_secs(60) }),
        1 => any::<bool>().prop_map(|operator| Event::WrittenOff { by: operator.then(|| KeyId::from_uuid(Uuid::nil())) }),
        1 => Just(Event::BytesExpired),
        6 => Just(Event::Claimed),
        2 => (wait.clone(), wait.clone()).prop_map(|(wait, jitter)| Event::PutOff { wait, jitter }),
        2 => attempt.clone().prop_map(|attempt| Event::Nudged { attempt }),
        6 => (attempt.clone(), expectation.clone())
            .prop_map(|(attempt, expectation)| Event::Submitted { attempt, native: NativeId(format!("n{attempt}")), expectation }),
        3 => (attempt.clone(), failure(), wait.clone()).prop_map(|(attempt, failure, jitter)| Event::Refused { attempt, failure, jitter }),
        3 => attempt.clone().prop_map(|attempt| Event::AnswerLost { attempt, failure: Failure::lost_answer("gone") }),
        1 => (attempt.clone(), wait.clone()).prop_map(|(attempt, wait)| Event::StillLost { attempt, wait }),
        2 => attempt.clone().prop_map(|attempt| Event::Absent { attempt }),
        2 => attempt.prop_map(|attempt| Event::Untraceable { attempt }),
        4 => (prop::option::of(any::<u8>()), expectation).prop_map(|(progress, expectation)| Event::Observed { progress, expectation }),
        1 => wait.clone().prop_map(|wait| Event::Unheard { wait }),
        3 => wait.clone().prop_map(|wait| Event::NotKnown { wait }),
        4 => delivery.prop_map(|delivery| Event::Succeeded { delivery }),
        3 => (failure(), usage()).prop_map(|(failure, usage)| Event::FailedUpstream { failure, usage }),
        1 => (billed.clone(), usage()).prop_map(|(billed, usage)| Event::ExpiredUpstream { billed, usage }),
        3 => (0u32..3).prop_map(|count| Event::Stored { assets: (0..count).map(asset).collect(), missing: Vec::new() }),
        2 => Just(Event::LinkExpired),
        1 => wait.clone().prop_map(|wait| Event::FetchDelayed { wait }),
        1 => failure().prop_map(|failure| Event::FetchFailed { failure }),
        3 => (billed, usage()).prop_map(|(billed, usage)| Event::FateKnown { billed, usage }),
        2 => wait.prop_map(|wait| Event::FatePending { wait, cancel_asked: true }),
    ]
}

/// What the store would hold after the transitions so far.
struct Books {
    job: Job,
    balances: BTreeMap<&'static str, Delta>,
    closings: usize,
    attempts: BTreeMap<u32, Attempt>,
    provider_cost: i64,
}

impl Books {
    fn open(admission: Admission) -> Self {
        let first = admit(&admission);
        let job = Job {
            admission: Arc::new(admission),
            life: first.life.clone(),
            version: 1,
            fence: 0,
        };
        let mut books = Self {
            job,
            balances: BTreeMap::new(),
            closings: 0,
            attempts: BTreeMap::new(),
            provider_cost: 0,
        };
        books.post(&first);
        books
    }

    fn post(&mut self, transition: &Transition) {
        for posting in &transition.postings {
            assert_eq!(
                posting
                    .entries()
                    .iter()
                    .map(|entry| entry.amount.0)
                    .sum::<i64>(),
                0,
                "a posting does not balance"
            );
            for entry in posting.entries() {
                let balance = self.balances.entry(entry.account.as_str()).or_default();
                *balance = balance.checked_add(entry.amount).unwrap();
            }
            match posting.kind {
                PostingKind::Capture | PostingKind::Release => self.closings += 1,
                PostingKind::ProviderCost => {
                    self.provider_cost += posting.effect_on(Account::ProviderCost).0
                }
                PostingKind::TopUp
                | PostingKind::Adjustment
                | PostingKind::Hold
                | PostingKind::Overage => {}
            }
        }
        if let Some(attempt) = &transition.attempt {
            self.attempts.insert(attempt.number, attempt.clone());
        }
    }

    /// What the stage of a job in this state can come to, whatever the provider says. None of it may be rejected: the
    /// job would stay due and be taken up again at once, for ever.
    fn outcomes_of_its_stage(&self) -> Vec<Event> {
        let life = &self.job.life;
        let attempt = life.attempt.as_ref().map_or(0, |attempt| attempt.number);
        let failure = || Failure::permanent(FailureCode::ProviderError, "it broke");
        let (wait, usage) = (Duration::ZERO, Usage::default());
        let expectation = Expectation::default();
        let traced = || {
            vec![
                Event::Submitted {
                    attempt,
                    native: NativeId("n".into()),
                    expectation,
                },
                Event::Refused {
                    attempt,
                    failure: failure(),
                    jitter: wait,
                },
                Event::Absent { attempt },
                Event::Untraceable { attempt },
            ]
        };
        let delivery = Delivery {
            outputs: Vec::new(),
            missing: Vec::new(),
            usage,
        };
        let polled = vec![
            Event::Observed {
                progress: Some(1),
                expectation,
            },
            Event::Unheard { wait },
            Event::NotKnown { wait },
            Event::Succeeded { delivery },
            Event::FailedUpstream {
                failure: failure(),
                usage,
            },
            Event::ExpiredUpstream {
                billed: Billed::Unknown,
                usage,
            },
        ];
        match &life.state {
            State::Accepted => vec![
                Event::Claimed,
                Event::PutOff { wait, jitter: wait },
                Event::Expire,
            ],
            State::Submitting { lost } => {
                let lost_again = match lost {
                    true => Event::StillLost { attempt, wait },
                    false => Event::AnswerLost {
                        attempt,
                        failure: failure(),
                    },
                };
                traced()
                    .into_iter()
                    .chain([lost_again, Event::Expire])
                    .collect()
            }
            State::Running { .. } => polled.into_iter().chain([Event::Expire]).collect(),
            State::Fetching { links, .. } if links.stale => polled,
            State::Fetching { .. } => vec![
                Event::Stored {
                    assets: Vec::new(),
                    missing: Vec::new(),
                },
                Event::LinkExpired,
                Event::FetchDelayed { wait },
            ],
            _ if life.fate.is_none() => Vec::new(),
            _ if life
                .attempt
                .as_ref()
                .is_some_and(|attempt| attempt.native.is_none()) =>
            {
                traced()
                    .into_iter()
                    .chain([Event::StillLost { attempt, wait }])
                    .collect()
            }
            _ => vec![
                Event::FateKnown {
                    billed: Billed::No,
                    usage,
                },
                Event::FatePending {
                    wait,
                    cancel_asked: true,
                },
            ],
        }
    }

    fn take(&mut self, event: Event, now: UnixTime) -> bool {
        let Ok(transition) = apply(&self.job, event, now) else {
            return false;
        };
        let before = self.job.life.clone();
        assert_eq!(
            transition.ends_job(),
            transition.life.status().is_terminal() && !before.status().is_terminal(),
            "an end is told once, when it comes"
        );
        self.post(&transition);
        self.job.life = transition.life;
        self.job.version += 1;
        self.check(&before);
        true
    }

    /// The workspace pays the provider itself: the operator pays nothing, and has its fee of that at most.
    fn check_byok(&self, paid: i64) {
        let admission = &self.job.admission;
        assert_eq!(
            self.provider_cost, 0,
            "the operator paid for a workspace's own credential"
        );
        let Some(settlement) = &self.job.life.settlement else {
            return;
        };
        assert_eq!(
            matches!(
                settlement.reason,
                ChargeReason::Byok | ChargeReason::Unpriced
            ),
            self.job.life.status() == Status::Completed
        );
        assert_eq!(
            settlement.reason == ChargeReason::Unpriced,
            settlement.user_charge.is_none()
        );
        let charge = settlement.user_charge.map_or(0, Nanos::get);
        if settlement.reason == ChargeReason::Byok {
            let fee = i64::from(admission.terms.byok_fee.0);
            // A half nano-dollar is rounded upwards.
            assert!(i128::from(charge) * 10_000 <= i128::from(paid) * i128::from(fee) + 5_000);
        }
        assert!(!admission.terms.byok_fee.is_zero() || charge == 0);
    }

    fn check(&self, before: &Life) {
        let life = &self.job.life;
        if before.status().is_terminal() {
            assert_eq!(
                life.status(),
                before.status(),
                "a terminal status is for ever"
            );
            assert_eq!(life.ended_at, before.ended_at);
        }
        assert!(life.progress >= before.progress, "progress went down");
        assert_eq!(
            life.progress == Some(100),
            life.status() == Status::Completed
        );
        assert!(
            life.acceptances <= 3,
            "more than three providers took it on"
        );
        assert!(
            before.settlement.is_none() || life.settlement == before.settlement,
            "money was settled twice"
        );
        let over = life.status().is_terminal() && life.fate.is_none();
        let keeps_bytes = life.bytes_expire_at.is_some() && life.bytes_removed_at.is_none();
        assert!(
            !keeps_bytes || life.status().is_terminal(),
            "only what has ended is counted down"
        );
        assert_eq!(
            life.due_at.is_none(),
            over && !keeps_bytes,
            "work is left and nobody is to look, or the other way round"
        );
        assert!(
            !over || life.settlement.is_some(),
            "it is over and not settled"
        );
        assert_eq!(
            self.closings,
            usize::from(self.job.admission.hold.is_some() && life.settlement.is_some()),
            "a hold is closed once"
        );
        let held = self.balances.get("ws:held").copied().unwrap_or_default().0;
        let open = life.hold == HoldStatus::Held;
        assert_eq!(
            held,
            if open {
                self.job.admission.hold.map_or(0, |hold| hold.amount.get())
            } else {
                0
            }
        );
        let on_attempts = self
            .attempts
            .values()
            .filter_map(|attempt| attempt.provider_cost)
            .map(Nanos::get)
            .sum::<i64>();
        if self.job.admission.is_byok() {
            self.check_byok(on_attempts);
        } else {
            assert_eq!(
                self.provider_cost, on_attempts,
                "what a provider was paid is not on an attempt row"
            );
        }
        if let Some(charge) = life
            .settlement
            .as_ref()
            .and_then(|settlement| settlement.user_charge)
        {
            assert!(
                self.job
                    .admission
                    .request
                    .max_cost
                    .is_none_or(|most| charge <= most || life.status() != Status::Completed)
            );
            assert!(
                life.status() == Status::Completed
                    || self
                        .job
                        .admission
                        .hold
                        .map_or(Nanos::ZERO, |hold| hold.amount)
                        >= charge
            );
            assert_eq!(
                self.balances
                    .get("operator:revenue")
                    .copied()
                    .unwrap_or_default()
                    .0,
                charge.get()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_history_keeps_every_promise(
        admission in admission(),
        history in prop::collection::vec((event(), 0u64..120), 0..60),
    ) {
        let mut books = Books::open(admission);
        let mut now = START;
        for (event, pause) in history {
            now = now.plus(Duration::from_secs(pause));
            books.take(event, now);
            for outcome in books.outcomes_of_its_stage() {
                let taken = apply(&books.job, outcome, now);
                prop_assert!(taken.is_ok(), "{}", taken.unwrap_err());
            }
        }
        // Whatever state that was, the job can be brought to its end.
        for _ in 0..8 {
            now = now.plus(Duration::from_secs(25 * 3600));
            books.take(Event::Expire, now);
            books.take(Event::FetchDelayed { wait: Duration::ZERO }, now);
            books.take(Event::FatePending { wait: Duration::ZERO, cancel_asked: false }, now);
            books.take(Event::BytesExpired, now);
        }
        prop_assert!(books.job.life.status().is_terminal());
        prop_assert!(books.job.life.due_at.is_none());
    }

    #[test]
    fn a_life_is_read_back_as_it_was_written(admission in admission(), history in prop::collection::vec(event(), 0..30)) {
        let mut books = Books::open(admission);
        for event in history {
            books.take(event, START);
        }
        let text = serde_json::to_string(&books.job.life).unwrap();
        prop_assert_eq!(serde_json::from_str::<Life>(&text).unwrap(), books.job.life);
        let text = serde_json::to_string(&books.job.admission).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Admission>(&text).unwrap(), books.job.admission.as_ref());
    }
}

fn priced(repeats: &[SubmitRepeat]) -> Books {
    let id = Uuid::nil();
    Books::open(Admission {
        id: VideoId::from_uuid(id),
        workspace: WorkspaceId::from_uuid(id),
        key: KeyId::from_uuid(id),
        request_id: "req".into(),
        generation_id: GenerationId::from_uuid(id),
        created_at: START,
        origin: "http://127.0.0.1".into(),
        request: Arc::new(Request::new(ModelId("m/m".into()), "a boat")),
        route: repeats
            .iter()
            .enumerate()
            .map(|(name, repeat)| candidate(name, *repeat, true, None))
            .collect(),
        dropped: Vec::new(),
        terms: Terms {
            mode: Mode::Metered,
            markup: BasisPoints(0),
            byok_fee: BasisPoints(0),
            abandoned: Abandoned::User,
            ambiguous_submit: AmbiguousSubmit::Fail,
            retention_seconds: None,
        },
        hold: Some(HoldTerms {
            id: HoldId::from_uuid(id),
            amount: nanos(50_000_000),
        }),
        quoted: None,
        retried_from: None,
    })
}

fn submitted(attempt: u32) -> Event {
    Event::Submitted {
        attempt,
        native: NativeId(format!("n{attempt}")),
        expectation: Expectation::default(),
    }
}

#[test]
fn a_cancel_while_the_submit_is_under_way_keeps_the_hold_until_the_fate_is_known() {
    let mut books = priced(&[SubmitRepeat::Lookup]);
    assert!(books.take(Event::Claimed, START));
    assert!(books.take(
        Event::Cancel {
            by: KeyId::from_uuid(Uuid::nil())
        },
        START
    ));
    assert_eq!(books.job.life.billing_state(), BillingState::Pending);
    assert!(
        books.take(submitted(1), START),
        "the late acceptance is recorded"
    );
    assert_eq!(
        books.job.life.attempt.as_ref().unwrap().native,
        Some(NativeId("n1".into()))
    );
    assert!(books.take(
        Event::FateKnown {
            billed: Billed::Yes,
            usage: Usage {
                output_ms: Some(1_000),
                ..Usage::default()
            }
        },
        START
    ));
    let settlement = books.job.life.settlement.unwrap();
    assert_eq!(
        (settlement.reason, settlement.user_charge),
        (ChargeReason::CancelledBilled, Nanos::new(10_000_000))
    );
}

#[test]
fn a_lost_answer_nobody_can_trace_fails_and_releases_rather_than_pays_twice() {
    let mut books = priced(&[SubmitRepeat::Never, SubmitRepeat::Lookup]);
    books.take(Event::Claimed, START);
    books.take(
        Event::AnswerLost {
            attempt: 1,
            failure: Failure::lost_answer("cut"),
        },
        START,
    );
    let State::Failed { failure } = &books.job.life.state else {
        panic!("it did not fail")
    };
    assert_eq!(failure.code, FailureCode::SubmissionAmbiguous);
    assert!(books.job.life.provider_may_have_charged);
    assert_eq!(books.job.life.hold, HoldStatus::Released);
}

#[test]
fn after_a_round_of_refusals_the_first_is_asked_again_when_the_shortest_wait_has_passed() {
    let mut books = priced(&[SubmitRepeat::Lookup, SubmitRepeat::Lookup]);
    let busy = |wait: u64| {
        Failure::passing(FailureCode::RateLimited, "busy")
            .retry_after(Some(Duration::from_secs(wait)))
    };
    books.take(Event::Claimed, START);
    books.take(
        Event::Refused {
            attempt: 1,
            failure: busy(30),
            jitter: Duration::ZERO,
        },
        START,
    );
    assert_eq!(
        (books.job.life.route.at, books.job.life.due_at),
        (1, Some(START))
    );
    books.take(Event::Claimed, START);
    books.take(
        Event::Refused {
            attempt: 2,
            failure: busy(12),
            jitter: Duration::ZERO,
        },
        START,
    );
    assert_eq!(
        (books.job.life.route.at, books.job.life.due_at),
        (0, Some(START.plus(Duration::from_secs(12))))
    );
    assert_eq!(books.job.life.status(), Status::Queued);
}

/// Whoever was only kept waiting has not been refused yet: his first refusal costs him the first pause.
#[test]
fn the_pause_between_rounds_grows_with_refusals_and_not_with_the_waits_before_them() {
    let mut books = priced(&[SubmitRepeat::Lookup]);
    let mut now = START;
    for _ in 0..6 {
        let wait = Duration::from_secs(10);
        let jitter = Duration::ZERO;
        books.take(Event::PutOff { wait, jitter }, now);
        now = now.plus(wait);
        assert_eq!(books.job.life.due_at, Some(now));
    }
    for (attempt, pause) in [(1, 5), (2, 10), (3, 20)] {
        books.take(Event::Claimed, now);
        let refused = Event::Refused {
            attempt,
            failure: Failure::passing(FailureCode::ProviderError, "down"),
            jitter: Duration::ZERO,
        };
        books.take(refused, now);
        now = now.plus(Duration::from_secs(pause));
        assert_eq!(books.job.life.due_at, Some(now), "{attempt}");
    }
}

#[test]
fn an_unbilled_failure_goes_on_with_the_next_candidate_and_keeps_its_progress() {
    let mut books = priced(&[SubmitRepeat::Lookup, SubmitRepeat::Lookup]);
    books.take(Event::Claimed, START);
    books.take(submitted(1), START);
    books.take(
        Event::Observed {
            progress: Some(60),
            expectation: Expectation::default(),
        },
        START,
    );
    let failure = Failure::passing(FailureCode::ProviderError, "it broke");
    books.take(
        Event::FailedUpstream {
            failure,
            usage: Usage::default(),
        },
        START,
    );
    assert_eq!(
        (
            books.job.life.status(),
            books.job.life.progress,
            books.job.life.route.at
        ),
        (Status::Queued, Some(60), 1)
    );
    books.take(Event::Claimed, START);
    books.take(submitted(2), START);
    books.take(
        Event::Observed {
            progress: Some(10),
            expectation: Expectation::default(),
        },
        START,
    );
    assert_eq!(books.job.life.progress, Some(60));
}

#[test]
fn usage_beyond_the_hold_is_an_overage_in_the_same_transition() {
    let mut books = priced(&[SubmitRepeat::Lookup]);
    books.take(Event::Claimed, START);
    books.take(submitted(1), START);
    let delivery = Delivery {
        outputs: Vec::new(),
        missing: Vec::new(),
        usage: Usage {
            output_ms: Some(9_000),
            ..Usage::default()
        },
    };
    books.take(Event::Succeeded { delivery }, START);
    books.take(
        Event::Stored {
            assets: vec![asset(0)],
            missing: Vec::new(),
        },
        START,
    );
    assert_eq!(books.balances["operator:revenue"], Delta(90_000_000));
    assert_eq!(books.balances["ws:available"], Delta(-90_000_000));
}

#[test]
fn links_that_keep_dying_end_the_job_at_the_operators_cost() {
    let mut books = priced(&[SubmitRepeat::Lookup]);
    books.take(Event::Claimed, START);
    books.take(submitted(1), START);
    let delivery = Delivery {
        outputs: Vec::new(),
        missing: Vec::new(),
        usage: Usage::default(),
    };
    books.take(
        Event::Succeeded {
            delivery: delivery.clone(),
        },
        START,
    );
    for renewal in 0..5 {
        assert!(books.take(Event::LinkExpired, START));
        assert_eq!(
            books.job.life.due_at,
            Some(START.plus(Duration::from_secs(2 * renewal)))
        );
        assert!(
            books.take(
                Event::Observed {
                    progress: None,
                    expectation: Expectation::default()
                },
                START
            ),
            "they may take a while"
        );
        assert!(books.take(
            Event::Succeeded {
                delivery: delivery.clone()
            },
            START
        ));
    }
    assert!(books.take(Event::LinkExpired, START));
    assert_eq!(books.job.life.status(), Status::Failed);
    assert_eq!(
        (books.job.life.hold, books.provider_cost),
        (HoldStatus::Released, 40_000_000)
    );
}

#[test]
fn an_id_the_provider_forgot_is_believed_after_three_polls_over_a_minute() {
    let mut books = priced(&[SubmitRepeat::Lookup]);
    books.take(Event::Claimed, START);
    books.take(submitted(1), START);
    for seconds in [0, 1, 2] {
        books.take(
            Event::NotKnown {
                wait: Duration::ZERO,
            },
            START.plus(Duration::from_secs(seconds)),
        );
        assert_eq!(books.job.life.status(), Status::Processing);
    }
    books.take(
        Event::NotKnown {
            wait: Duration::ZERO,
        },
        START.plus(Duration::from_secs(60)),
    );
    assert_eq!(books.job.life.status(), Status::Expired);
    assert_eq!(books.job.life.billing_state(), BillingState::Pending);
}
