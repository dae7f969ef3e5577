//! Housekeeping: retention, pruning and the sweep, over real files.

use std::time::Duration;

use filmgate_core::job::Status;
use filmgate_engine::Tidied;
use filmgate_store::Found;

use crate::house::{House, Script, Setup};

const DAY: u64 = 24 * 3600;

#[tokio::test]
async fn what_a_job_stored_goes_when_it_was_kept_for_long_enough() {
    let setup = Setup {
        retention: Some(Duration::from_secs(DAY)),
        ..Setup::default()
    };
    let house = House::set_up(Script::default(), setup).await;
    let id = house.create().await;
    house.settle().await;
    house.advance(1).await;
    let life = house.job(id).await.life;
    assert_eq!(
        life.bytes_expire_at,
        life.ended_at.map(|at| at.plus(Duration::from_secs(DAY)))
    );
    assert_eq!(house.stored_files(), 2, "a video and its thumbnail");
    house.advance(DAY - 1).await;
    assert_eq!(house.stored_files(), 2);
    let before = house.job(id).await;
    house.advance(1).await;
    let after = house.job(id).await;
    assert_eq!(house.stored_files(), 0);
    assert_eq!(after.life.status(), Status::Completed);
    assert_eq!(after.life.bytes_removed_at, after.life.bytes_expire_at);
    assert_eq!(after.version, before.version + 1, "whoever polls sees it");
    assert_eq!(after.life.due_at, None);
    house.audit().await;
}

#[tokio::test]
async fn the_sweep_takes_what_no_row_names_and_nothing_else() {
    let house = House::of(Script::default()).await;
    let kept = house.create().await;
    let lost = house
        .create_as(|it| it.prompt = "another boat".into())
        .await;
    house.settle().await;
    house.advance(1).await;
    assert_eq!(house.stored_files(), 4);
    // As a crash between putting an object and committing its row leaves it.
    house.tamper(&format!("DELETE FROM objects WHERE job = '{lost}'"));
    let tidied = house.engine.tidy().await.unwrap();
    assert_eq!(tidied.objects, 0, "it may belong to a job on its way");
    // The files' own times are the machine's: whatever those are, the house's clock is far ahead of them now.
    house.clock.advance(Duration::from_secs(36_500 * DAY));
    let tidied = house.engine.tidy().await.unwrap();
    assert_eq!((tidied.objects, house.stored_files()), (2, 2));
    let found = house
        .engine
        .find(house.caller.workspace, kept)
        .await
        .unwrap();
    let Found::Job(job) = found else {
        panic!("{found:?}")
    };
    let key = job.life.output_objects().next().unwrap().parse().unwrap();
    house.engine.assets().head(&key).await.unwrap();
}

#[tokio::test]
async fn a_chore_is_not_done_again_before_its_time() {
    let house = House::of(Script::default()).await;
    house.create().await;
    house.settle().await;
    house.advance(1).await;
    house.engine.tidy().await.unwrap();
    house.clock.advance(Duration::from_secs(91 * DAY));
    let tidied = house.engine.tidy().await.unwrap();
    assert!(
        tidied.rows.timeline > 0 && tidied.rows.outbox > 0,
        "{tidied:?}"
    );
    house.create().await;
    assert_eq!(house.engine.tidy().await.unwrap(), Tidied::default());
}
