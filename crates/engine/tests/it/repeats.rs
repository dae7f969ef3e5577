//! Creates without an idempotency key: what a repeat gets, and what only looks like one.

use std::time::Duration;

use filmgate_core::repeat::RetryCount;
use filmgate_engine::{AdmitError, Admitted, How};

use crate::house::{House, Script};

async fn house() -> House {
    House::of(Script::default()).await
}

async fn create(house: &House, retry: u32) -> Admitted {
    house.ask(RetryCount(retry), |_| {}).await.unwrap()
}

/// Everything that was noted about answers is in the store.
async fn noted(house: &House) {
    // Whatever was spawned before this is older; the store takes one thing after the other.
    for _ in 0..100 {
        tokio::task::yield_now().await;
        house
            .store
            .note_answers(Vec::new(), filmgate_core::repeat::Answer::Lost)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_never_left_brings_its_client_back_to_the_same_job() {
    let house = house().await;
    let first = create(&house, 0).await;
    assert_eq!(first.how, How::New);
    let id = first.job.admission.id;
    drop(first);
    noted(&house).await;
    let again = create(&house, 0).await;
    assert_eq!((again.how, again.job.admission.id), (How::Repeated, id));
    // While that answer is on its way, the same request is a job of its own; when it is lost too, it is not.
    let twin = create(&house, 0).await;
    assert_eq!(twin.how, How::New);
    drop(again);
    noted(&house).await;
    let third = create(&house, 0).await;
    assert_eq!((third.how, third.job.admission.id), (How::Repeated, id));
    assert_eq!(house.store.audit().await.unwrap().jobs, 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_given_lets_the_next_one_be_a_job_of_its_own() {
    let house = house().await;
    let first = create(&house, 0).await;
    first.answer.unwrap().given();
    tokio::time::advance(Duration::from_secs(2)).await;
    noted(&house).await;
    house.clock.advance(Duration::from_millis(1));
    let second = create(&house, 0).await;
    assert_eq!(second.how, How::New);
    // Whoever says that it is a retry is believed all the same: a proxy may have swallowed what we gave.
    let retry = create(&house, 1).await;
    assert_eq!(
        (retry.how, retry.job.admission.id),
        (How::Repeated, first.job.admission.id)
    );
}

#[tokio::test]
async fn a_client_that_goes_away_during_admission_finds_its_job_later() {
    let house = house().await;
    {
        let asked = house.ask(RetryCount(0), |_| {});
        tokio::pin!(asked);
        // Begun, and then nobody waits any more.
        assert!(futures::poll!(&mut asked).is_pending());
    }
    let admitted = async {
        while house.store.audit().await.unwrap().jobs == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), admitted)
        .await
        .expect("admission runs to its end");
    noted(&house).await;
    let again = create(&house, 0).await;
    assert_eq!(again.how, How::Repeated);
    assert_eq!(house.store.audit().await.unwrap().jobs, 1);
}

#[tokio::test]
async fn two_who_ask_for_the_same_stay_two_and_each_retry_finds_its_own() {
    let house = house().await;
    let first = create(&house, 0).await;
    house.clock.advance(Duration::from_millis(1));
    let second = create(&house, 0).await;
    assert_eq!((first.how, second.how), (How::New, How::New));
    let retries = [create(&house, 1).await, create(&house, 1).await];
    assert_eq!(
        retries.map(|retry| (retry.how, retry.job.admission.id)),
        [
            (How::Repeated, first.job.admission.id),
            (How::Repeated, second.job.admission.id)
        ]
    );
    // A third who says so has made no job yet.
    assert_eq!(create(&house, 1).await.how, How::New);
}

#[tokio::test]
async fn a_job_that_was_named_or_is_old_or_differs_is_not_found_by_a_repeat() {
    let house = house().await;
    let first = create(&house, 0).await;
    house.job(first.job.admission.id).await;
    assert_eq!(create(&house, 1).await.how, How::New, "it was named");
    house.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(create(&house, 2).await.how, How::New, "all are too old");
    let other = house
        .ask(RetryCount(3), |request| {
            request.prompt = "another boat".into()
        })
        .await;
    assert_eq!(other.unwrap().how, How::New, "it is another request");
}

#[tokio::test]
async fn a_refusal_is_no_job_to_come_back_to() {
    let house = house().await;
    let refused = house
        .ask(RetryCount(0), |request| request.duration = Some(99))
        .await;
    assert!(matches!(refused, Err(AdmitError::Refused { .. })));
    assert_eq!(house.store.audit().await.unwrap().jobs, 0);
}
