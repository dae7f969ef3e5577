//! What was learnt of how long jobs take, seen in what is expected of the next one.

use std::time::Duration;

use filmgate_core::id::VideoId;
use filmgate_core::job::State;
use filmgate_core::provider::{Observation, Usage};

use crate::house::{self, House, Script, succeeded};

fn running() -> Observation {
    Observation::Running { progress: None }
}

async fn film(house: &House, prompt: &str) -> VideoId {
    house
        .create_as(|request| request.prompt = prompt.to_owned())
        .await
}

/// A job that is seen running and, `seconds` after it was submitted, done.
async fn film_that_takes(house: &House, seconds: u64) {
    house.script(|script| script.polls = [running()].into());
    film(house, &format!("{seconds} seconds")).await;
    house.settle().await;
    house.advance(seconds - 10).await;
    house.script(|script| script.polls = [succeeded(Usage::default())].into());
    house.advance(10).await;
    house.audit().await;
}

/// How long a job that was just submitted is expected to take, and when it is looked at first.
async fn expected(house: &House, id: VideoId) -> (Option<Duration>, Duration) {
    let life = house.job(id).await.life;
    let accepted_at = life.attempt.unwrap().accepted_at.unwrap();
    let total = life.estimated_completion_at;
    (
        total.map(|at| at.since(accepted_at)),
        life.due_at.unwrap().since(accepted_at),
    )
}

/// Lets the loop turn until it has submitted the job.
async fn run_until_submitted(house: &House, id: VideoId) {
    house.engine.start();
    let submitted = async {
        while !matches!(house.job(id).await.life.state, State::Running { .. }) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), submitted)
        .await
        .expect("the loop submits what is due");
    house.engine.shutdown().await;
}

#[tokio::test]
async fn a_new_process_expects_what_the_one_before_it_had_learnt() {
    let mut house = House::of(Script::default()).await;
    for seconds in [80, 100, 90, 110] {
        film_that_takes(&house, seconds).await;
    }
    house.script(|script| script.polls = [running()].into());
    let before = film(&house, "before").await;
    house.settle().await;
    let (total, next) = expected(&house, before).await;
    assert!(total.is_some() && next > Duration::from_secs(5), "{next:?}");

    house.another_worker();
    let after = film(&house, "after").await;
    run_until_submitted(&house, after).await;
    let (same_total, same_next) = expected(&house, after).await;
    assert_eq!(same_total, total);
    // Each job has a share of its own of up to an eighth more.
    assert!(
        same_next.abs_diff(next) <= next / 8,
        "{next:?} {same_next:?}"
    );
}

#[tokio::test]
async fn a_process_that_cannot_recall_works_all_the_same() {
    let mut house = House::of(Script::default()).await;
    film_that_takes(&house, 80).await;
    house.script(|script| script.polls = [running()].into());
    // What it would be recalled by.
    house.tamper("DROP INDEX attempts_done");
    house.another_worker();
    let next = film(&house, "next").await;
    run_until_submitted(&house, next).await;
    assert_eq!(expected(&house, next).await.0, None);
}

/// A success that is heard once more, for the sake of its links, was learnt when it was heard first.
#[tokio::test]
async fn new_links_do_not_make_a_job_take_longer() {
    let house = House::of(Script::default()).await;
    let dead = (404, None, bytes::Bytes::new());
    house.script(|script| {
        script.polls = [running()].into();
        script.files = [dead.clone(), dead, (200, None, house::film())].into();
    });
    film(&house, "first").await;
    house.settle().await;
    house.advance(20).await;
    house.script(|script| script.polls = [succeeded(Usage::default())].into());
    house.advance(20).await;
    house.advance(600).await;
    house.audit().await;
    house.script(|script| script.polls = [running()].into());
    let next = film(&house, "next").await;
    house.settle().await;
    let (total, _) = expected(&house, next).await;
    assert_eq!(total, Some(Duration::from_secs(30)), "between 20 and 40");
}
