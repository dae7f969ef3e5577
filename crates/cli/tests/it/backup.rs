//! Backups that are taken while a gateway serves, and what a gateway on a restored one knows and does.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use filmgate_core::time::UnixTime;
use filmgate_upstreams::clock::Clock;
use serde_json::Value;
use tokio::process::Command;

use crate::fleet::{Fleet, Ground, PRICE, charged, held_by, order};
use crate::gate::{Gate, Home, files_below, id_of, sha256};

/// The provider is off while an operator looks at what was restored.
const SWITCH: &str = "FILMGATE_PROVIDERS__GPU-BOX__ENABLED";

#[tokio::test]
async fn a_backup_of_sqlite_is_the_gateway_as_it_was_then() {
    let clock = Clock::standing_at(UnixTime::from_seconds(1_795_420_800));
    let fleet = Fleet::on_files_before(held_by(&clock)).await;
    is_backed_up_lost_and_restored(&clock, fleet).await;
}

#[tokio::test]
async fn a_dump_of_postgresql_is_the_gateway_as_it_was_then() {
    let clock = Clock::standing_at(UnixTime::from_seconds(1_795_420_800));
    let fleet = Fleet::on_postgres_before(held_by(&clock)).await;
    is_backed_up_lost_and_restored(&clock, fleet).await;
}

async fn is_backed_up_lost_and_restored(clock: &Clock, fleet: Fleet) {
    let fleet = fleet.with_provider("concurrency = 1");
    let kept = tempfile::tempdir().unwrap();
    let backup = kept.path().join("backup");
    let accepted = |prompt: &str| fleet.provider.emulator.prompt_counts(prompt).accepted;
    let gate = fleet.gate().await;

    // One video is there, the provider has the next one, and one waits for it.
    let done = gate.create(&order("done")).await;
    let done = ends(clock, &gate, &done).await;
    let running = gate.create(&order("running")).await;
    gate.wait_processing(id_of(&running)).await;
    let waiting = gate.create(&order("waiting")).await;
    back_up(&fleet, &gate, &backup).await;

    // Life goes on until all but the backup, the videos and the master key is lost.
    ends(clock, &gate, &running).await;
    ends(clock, &gate, &waiting).await;
    let unknown = gate.create(&order("unknown")).await;
    let lost = gate.kill().await;
    assert_eq!((accepted("running"), accepted("waiting")), (1, 1));

    // With the provider switched off, nothing is asked for that was asked for already, and what waits can be taken back.
    let home = restored(&fleet, &lost, &backup)
        .await
        .environment(SWITCH, "false");
    let gate = home.start().await;
    still_has(&gate, &done).await;
    assert_eq!(gate.status(id_of(&running)).await["status"], "processing");
    assert_eq!(gate.status(id_of(&waiting)).await["status"], "queued");
    gate.cancel(id_of(&waiting)).await;
    let gate = gate.stop().await.environment(SWITCH, "true").start().await;
    goes_on_with(&gate, &running).await;
    let cancelled = gate.wait_settled(id_of(&waiting)).await;
    assert_eq!(
        (cancelled["status"].as_str(), charged(&cancelled)),
        (Some("cancelled"), 0)
    );
    assert_eq!((accepted("running"), accepted("waiting")), (1, 1));
    let unheard = gate
        .get(&format!("/v1/videos/{}", id_of(&unknown)))
        .send()
        .await;
    unheard.refused(404, "not_found");
    gate.stop().await.doctor().await.is_closed_and_balanced();

    // Started as it is, it takes up what waits, and the provider is asked for that once more.
    let gate = restored(&fleet, &lost, &backup).await.start().await;
    still_has(&gate, &done).await;
    goes_on_with(&gate, &running).await;
    let again = ends(clock, &gate, &waiting).await;
    still_has(&gate, &again).await;
    assert_eq!((accepted("running"), accepted("waiting")), (1, 2));
    let jobs = gate.stop().await.doctor().await;
    jobs.is_closed_and_balanced();
    assert_eq!((jobs.jobs, jobs.under_way), (3, 0));
}

/// Lets the provider finish this video.
async fn ends(clock: &Clock, gate: &Gate, video: &Value) -> Value {
    gate.wait_processing(id_of(video)).await;
    clock.advance(Duration::from_secs(1));
    goes_on_with(gate, video).await
}

/// Its bytes too, by the key and by a link that was given before.
async fn still_has(gate: &Gate, done: &Value) {
    let now = gate.status(id_of(done)).await;
    assert_eq!(
        (&now["asset"], &now["billing"]),
        (&done["asset"], &done["billing"])
    );
    let link = done["download_url"].as_str().unwrap();
    let linked = gate.get(link).anonymous().send().await.expect(200).body;
    assert_eq!(sha256(&linked), done["asset"]["sha256"]);
    assert_eq!(gate.bytes(done).await, linked);
}

/// The video completes and is charged once.
async fn goes_on_with(gate: &Gate, video: &Value) -> Value {
    let end = gate.wait_terminal(id_of(video)).await;
    assert_eq!(
        (end["status"].as_str(), charged(&end)),
        (Some("completed"), PRICE),
        "{end:#}"
    );
    end
}

async fn back_up(fleet: &Fleet, gate: &Gate, to: &Path) {
    let file = to.to_str().unwrap();
    match &fleet.ground {
        Ground::File => {
            let done = gate
                .run(&["--json", "backup", file])
                .await
                .succeeded()
                .json();
            assert_eq!(done["bytes"], to.metadata().unwrap().len());
        }
        Ground::Shared(shared) => {
            let mut dump = Command::new(shared.cluster.program("pg_dump"));
            succeeds(dump.args(["--no-owner", "--dbname", &shared.url, "--file", file])).await;
        }
    }
}

/// A new home on the backup, with the videos and the master key of the one that was lost.
async fn restored(fleet: &Fleet, lost: &Home, backup: &Path) -> Home {
    let home = fleet.home();
    match &fleet.ground {
        Ground::File => {
            std::fs::create_dir(home.data()).unwrap();
            std::fs::copy(backup, home.data().join("filmgate.db")).unwrap();
            for name in ["master.key", "assets"] {
                let mut copy = Command::new("cp");
                succeeds(copy.arg("-r").arg(lost.data().join(name)).arg(home.data())).await;
            }
            home
        }
        Ground::Shared(shared) => {
            let url = shared.cluster.database();
            let mut restore = Command::new(shared.cluster.program("psql"));
            restore.args([
                "--quiet",
                "--no-psqlrc",
                "--set",
                "ON_ERROR_STOP=1",
                "--dbname",
                &url,
                "--file",
            ]);
            succeeds(restore.arg(backup).stdout(Stdio::null())).await;
            // A job that somebody was just asking for would be left alone until his lease ran out.
            shared.cluster.sql(
                &url,
                "UPDATE work SET lease_until = 0 WHERE lease_until IS NOT NULL",
            );
            home.environment("FILMGATE_STORE__URL", &url)
        }
    }
}

async fn succeeds(command: &mut Command) {
    let status = command.status().await.unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

#[tokio::test]
async fn a_backup_writes_over_nothing_and_copies_nothing_but_a_store() {
    let gate = Fleet::on_files().await.gate().await;
    let there = gate.home().path().join("there");
    std::fs::write(&there, "a letter").unwrap();
    let refused = gate.run(&["backup", "there"]).await.failed();
    assert!(
        refused.err.contains("there is such a file already"),
        "{refused:?}"
    );
    assert_eq!(std::fs::read_to_string(&there).unwrap(), "a letter");
    gate.stop().await;

    for (name, content) in [("a letter", b"a letter".as_slice()), ("nothing", b"")] {
        let home = Home::new();
        std::fs::create_dir(home.data()).unwrap();
        std::fs::write(home.data().join("filmgate.db"), content).unwrap();
        let refused = home.run(&["backup", "copy"]).await.failed();
        assert!(refused.err.contains("filmgate.db"), "{name}: {refused:?}");
        assert!(!home.path().join("copy").exists(), "{name} was copied");
    }
    let home = Home::new();
    home.run(&["backup", "copy"]).await.failed();
    assert_eq!(
        files_below(&home.data()),
        Vec::<String>::new(),
        "a store was made"
    );
}
