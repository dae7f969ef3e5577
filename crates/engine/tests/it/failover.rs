//! Two providers for one model: who is asked, who is left alone, and who gets the job in the end.

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use filmgate_core::failure::{Billed, Failure, FailureCode};
use filmgate_core::id::VideoId;
use filmgate_core::job::{Event, Status};
use filmgate_core::provider::{Delivery, Observation, Source, SubmitRepeat, Usage};
use filmgate_core::request::{ModelId, Request, Sort};
use filmgate_engine::{AdmitError, Breaker};

use crate::house::{House, Script, film, succeeded};

fn two(request: &mut Request) {
    request.model = ModelId("demo/two".into());
}

fn down() -> Result<(), Failure> {
    Err(Failure::passing(FailureCode::ProviderError, "down"))
}

async fn ended_at(house: &House, id: VideoId) -> (Status, String) {
    let job = house.job(id).await;
    let provider = job.shown_candidate().provider.0.clone();
    (job.life.status(), provider)
}

async fn breaker(house: &House, name: &str) -> Breaker {
    let accounts = house.engine.accounts().await.unwrap();
    let account = accounts.iter().find(|account| account.name.0 == name);
    account.unwrap().standing.breaker
}

#[tokio::test]
async fn a_refusal_that_may_pass_goes_to_the_next_one_at_once() {
    let house = House::of(Script {
        submits: [down()].into(),
        ..Script::default()
    })
    .await;
    let id = house.create_as(two).await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(
        ended_at(&house, id).await,
        (Status::Completed, "other".into())
    );
    // The other one charges twice as much, and the hold was large enough for that: a second was made.
    assert_eq!(house.available().await, -20_000_000);
    house.audit().await;
}

#[tokio::test]
async fn a_job_that_fails_unbilled_goes_on_elsewhere_and_its_progress_never_falls() {
    let failure = Failure::passing(FailureCode::ProviderError, "out of memory");
    let house = House::of(Script {
        polls: [
            Observation::Running { progress: Some(60) },
            Observation::Failed(failure, Usage::default()),
        ]
        .into(),
        ..Script::default()
    })
    .await;
    house.other_script(|script| {
        script.polls = [
            Observation::Running { progress: Some(10) },
            succeeded(Usage::default()),
        ]
        .into();
    });
    let id = house.create_as(two).await;
    house.settle().await;
    for _ in 0..3 {
        house.advance(2).await;
        if house.job(id).await.life.status() == Status::Processing {
            assert!(house.job(id).await.life.progress >= Some(60));
        }
    }
    house.advance(10).await;
    let ended = ended_at(&house, id).await;
    assert_eq!(ended, (Status::Completed, "other".into()));
    let attempts = house.store.attempts(id).await.unwrap();
    assert_eq!(attempts.len(), 2);
    house.audit().await;
}

#[tokio::test]
async fn what_was_billed_or_refused_for_good_is_not_tried_elsewhere() {
    for failure in [
        Failure::passing(FailureCode::ProviderError, "broken").billed(Billed::Yes),
        Failure::permanent(FailureCode::ContentModerated, "no"),
    ] {
        let house = House::of(Script {
            polls: [Observation::Failed(failure, Usage::default())].into(),
            ..Script::default()
        })
        .await;
        let id = house.create_as(two).await;
        house.settle().await;
        house.advance(5).await;
        let ended = ended_at(&house, id).await;
        assert_eq!(ended, (Status::Failed, "scripted".into()));
        house.audit().await;
    }
}

#[tokio::test]
async fn an_ill_provider_is_asked_last_and_tried_again_after_a_while() {
    let house = House::of(Script {
        repeat: SubmitRepeat::Never,
        submits: [down()].into(),
        ..Script::default()
    })
    .await;
    for _ in 0..5 {
        let id = house.create_as(two).await;
        house.settle().await;
        // Whoever asks for it has its id: the next one is another job.
        house.job(id).await;
    }
    let until = house.engine.now().plus(Duration::from_secs(10));
    assert_eq!(breaker(&house, "scripted").await, Breaker::Open { until });
    let asked = house.attempt_keys.lock().unwrap().len();
    let id = house.create_as(two).await;
    let route = house.job(id).await.admission.route.clone();
    let names: Vec<&str> = route.iter().map(|it| it.provider.0.as_str()).collect();
    assert_eq!(names, ["other", "scripted"], "the ill one is last");
    house.settle().await;
    assert_eq!(house.attempt_keys.lock().unwrap().len(), asked + 1);
    house.advance(10).await;
    assert_eq!(breaker(&house, "scripted").await, Breaker::HalfOpen);
    house.script(|script| script.submits = [Ok(())].into());
    let id = house.create_as(two).await;
    house.settle().await;
    house.advance(1).await;
    let ended = ended_at(&house, id).await;
    assert_eq!(ended, (Status::Completed, "scripted".into()));
    assert_eq!(breaker(&house, "scripted").await, Breaker::Closed);
}

#[tokio::test]
async fn jobs_of_a_provider_that_is_down_wait_without_asking_it() {
    let house = House::of(Script {
        submits: [down()].into(),
        ..Script::default()
    })
    .await;
    let mut jobs = Vec::new();
    for _ in 0..8 {
        let id = house.create().await;
        house.settle().await;
        house.job(id).await;
        jobs.push(id);
    }
    assert_eq!(house.attempt_keys.lock().unwrap().len(), 5);
    for id in &jobs {
        let job = house.job(*id).await;
        assert_eq!(job.life.status(), Status::Queued);
        assert!(job.life.due_at.is_some_and(|due| due > house.engine.now()));
    }
    house.script(|script| script.submits = [Ok(())].into());
    // Whoever was just behind the one that tries waits once more.
    for _ in 0..6 {
        house.advance(15).await;
    }
    for id in jobs {
        assert_eq!(house.job(id).await.life.status(), Status::Completed);
    }
    house.audit().await;
}

#[tokio::test]
async fn a_provider_that_wants_quiet_gets_it_from_all_jobs_of_that_model() {
    let limited = Failure::passing(FailureCode::RateLimited, "slower");
    let house = House::of(Script {
        submits: [
            Err(limited.retry_after(Some(Duration::from_secs(30)))),
            Ok(()),
        ]
        .into(),
        ..Script::default()
    })
    .await;
    house.other_script(|script| script.submits = [down()].into());
    let first = house.create().await;
    house.settle().await;
    house.job(first).await;
    let second = house.create().await;
    house.settle().await;
    assert_eq!(house.attempt_keys.lock().unwrap().len(), 1, "one was told");
    // Its other model was not spoken of.
    let unpriced = house
        .create_as(|request| request.model = ModelId("demo/unpriced".into()))
        .await;
    house.settle().await;
    assert_eq!(house.attempt_keys.lock().unwrap().len(), 2);
    house.advance(1).await;
    assert_eq!(house.job(unpriced).await.life.status(), Status::Completed);
    house.advance(40).await;
    house.advance(5).await;
    for id in [first, second] {
        assert_eq!(house.job(id).await.life.status(), Status::Completed);
    }
}

#[tokio::test]
async fn a_soft_parameter_is_left_out_where_that_is_allowed_and_only_there() {
    let house = House::of(Script::default()).await;
    let seeded = |request: &mut Request| {
        two(request);
        request.seed = Some(7);
    };
    let strict = house.create_as(seeded).await;
    let route = house.job(strict).await.admission.route.clone();
    assert_eq!(route.len(), 1);
    assert_eq!(route[0].provider.0, "other", "the other one has no seed");
    let lax = house
        .create_as(|request| {
            seeded(request);
            request.provider.require_parameters = false;
        })
        .await;
    let route = house.job(lax).await.admission.route.clone();
    assert_eq!(route[0].provider.0, "scripted");
    assert_eq!(route[0].left_out.len(), 1);
    assert!(route[1].left_out.is_empty());
    let refused = house
        .ask(Default::default(), |request| {
            seeded(request);
            request.seed = Some(1000);
        })
        .await;
    assert!(matches!(refused, Err(AdmitError::Refused { .. })));
}

#[tokio::test]
async fn the_fastest_lately_is_asked_first_where_that_is_wished() {
    let house = House::of(Script::default()).await;
    house.other_script(|script| {
        script.polls = [succeeded(Usage::default())].into();
    });
    house.script(|script| {
        script.polls = [
            Observation::Running { progress: None },
            Observation::Running { progress: None },
            Observation::Running { progress: None },
            succeeded(Usage::default()),
        ]
        .into();
    });
    let slow = house.create_as(two).await;
    let fast = house
        .create_as(|request| {
            two(request);
            request.provider.only = vec![filmgate_core::request::ProviderName("other".into())];
        })
        .await;
    house.settle().await;
    for _ in 0..8 {
        house.advance(1).await;
    }
    for id in [slow, fast] {
        assert_eq!(house.job(id).await.life.status(), Status::Completed);
    }
    let wished = house
        .create_as(|request| {
            two(request);
            request.provider.sort = Some(Sort::Latency);
        })
        .await;
    assert_eq!(
        house.job(wished).await.admission.route[0].provider.0,
        "other"
    );
    let cheap = house.create_as(two).await;
    assert_eq!(
        house.job(cheap).await.admission.route[0].provider.0,
        "scripted"
    );
}

/// What stands in the answer as base64 is stored as if it had been fetched; another worker asks for it once more.
#[tokio::test]
async fn an_output_inside_the_answer_is_stored_also_by_whoever_comes_after() {
    let film = film();
    let text = base64::engine::general_purpose::STANDARD.encode(&film);
    let delivery = Delivery {
        outputs: vec![Source::Body {
            pointer: "/videos/0/bytes".into(),
        }],
        missing: Vec::new(),
        usage: Usage::default(),
    };
    for crash in [false, true] {
        let answer = serde_json::json!({"videos": [{"bytes": text}]}).to_string();
        let mut house = House::of(Script {
            polls: [Observation::Succeeded(delivery.clone())].into(),
            answer: Bytes::from(answer),
            ..Script::default()
        })
        .await;
        let id = house.create().await;
        house.settle().await;
        if crash {
            // The worker dies between the poll and the file.
            let intake = filmgate_store::Intake {
                by: filmgate_store::WorkerId("dead".into()),
                now: house.engine.now().plus(Duration::from_secs(2)),
                lease: Duration::from_secs(1),
                submit_lease: Duration::from_secs(1),
                limit: 1,
                places: Default::default(),
            };
            let claim = house.store.claim_due(&intake).await.unwrap().remove(0);
            let event = Event::Succeeded {
                delivery: delivery.clone(),
            };
            let transition =
                filmgate_core::job::apply(&claim.job, event, house.engine.now()).unwrap();
            let basis = filmgate_store::Basis::Claim {
                fence: claim.job.fence,
                version: claim.job.version,
                after: filmgate_store::AfterCommit::KeepLease,
            };
            house.store.commit(id, basis, transition).await.unwrap();
            house.another_worker();
            house.advance(5).await;
        }
        house.advance(2).await;
        let job = house.job(id).await;
        assert_eq!(job.life.status(), Status::Completed, "crash: {crash}");
        assert_eq!(house.stored_files(), 2);
        house.audit().await;
    }
}

#[tokio::test]
async fn an_answer_without_its_output_is_no_video() {
    for answer in [
        "{}",
        r#"{"videos": [{"bytes": "bm8gZmlsbQ=="}]}"#,
        r#"{"videos": [{"bytes": "?"}]}"#,
    ] {
        let house = House::of(Script {
            polls: [Observation::Succeeded(Delivery {
                outputs: vec![Source::Body {
                    pointer: "/videos/0/bytes".into(),
                }],
                missing: Vec::new(),
                usage: Usage::default(),
            })]
            .into(),
            answer: Bytes::from_static(answer.as_bytes()),
            ..Script::default()
        })
        .await;
        let id = house.create().await;
        house.settle().await;
        house.advance(2).await;
        assert_eq!(house.job(id).await.life.status(), Status::Failed);
        assert_eq!(house.available().await, 0);
        house.audit().await;
    }
}
