//! How long what jobs stored is kept: what is configured, what was promised, and that it goes then.

use serde_json::{Value, json};

use crate::gate::{Gate, Home, id_of};
use crate::order::Order;
use crate::status_object;
use crate::wall_clock::WallClock;

const THIRTY_DAYS: i64 = 30 * 24 * 3600;

#[track_caller]
fn is_kept_for(video: &Value, seconds: i64) {
    let end = video["completed_at"].as_i64().unwrap();
    assert_eq!(video["assets_expire_at"], end + seconds, "{video:#}");
}

/// The status of a video once its bytes are gone.
async fn after_its_bytes_went(gate: &Gate, id: &str) -> Value {
    let path = format!("/v1/videos/{id}");
    let mut answer = gate.get(&path).send().await.expect(200);
    loop {
        let seen = status_object::whole(answer.json());
        if seen["outputs"][0]["bytes_available"] == false {
            return seen;
        }
        let next = gate
            .get(&format!("{path}?wait=60"))
            .header("if-none-match", answer.header("etag"));
        answer = next.send().await.expect(200);
        status_object::follows(&seen, &status_object::whole(answer.json()));
    }
}

#[tokio::test]
async fn a_video_is_kept_for_as_long_as_was_promised_when_it_was_made() {
    let gate = Gate::configured("[assets]\nretention = \"30d\"").await;
    let kept = gate.completed(&Order::of("for a month")).await;
    is_kept_for(&kept, THIRTY_DAYS);
    let failing = Order::of("nothing").simulate(json!({"fail": "content_moderated"}));
    let failed = gate.run_to_end(&failing).await;
    assert_eq!(failed["assets_expire_at"], Value::Null, "it stored nothing");

    // Another setting is for what is made from then on.
    let home = gate.stop().await;
    let gate = home
        .environment("FILMGATE_ASSETS__RETENTION", "36h")
        .start()
        .await;
    let id = kept["id"].as_str().unwrap();
    is_kept_for(&gate.status(id).await, THIRTY_DAYS);
    let shorter = gate.completed(&Order::of("for less")).await;
    is_kept_for(&shorter, 36 * 3600);
    assert_eq!(gate.bytes(&kept).await.len() as u64, kept["asset"]["bytes"]);

    let gate = Gate::start().await;
    let forever = gate.completed(&Order::of("for ever")).await;
    assert_eq!(forever["assets_expire_at"], Value::Null);
}

#[tokio::test]
async fn a_retention_that_cannot_be_meant_stops_the_start() {
    for sent in ["soon", "0m", "30"] {
        let home = Home::new().environment("FILMGATE_ASSETS__RETENTION", sent);
        for arguments in [
            &["config", "check"][..],
            &["serve", "--listen", "127.0.0.1:0"],
        ] {
            let refused = home.run(arguments).await.failed();
            for word in ["assets.retention", sent, "m, h or d", "\"30d\""] {
                assert!(
                    refused.err.contains(word),
                    "{word} is not told: {refused:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_video_whose_time_is_over_is_gone_and_its_books_stay() {
    // The links in its status outlive it: they are good for 450 seconds at least.
    let clock = WallClock::new();
    let home = Home::new().configured("[assets]\nretention = \"5m\"");
    let gate = clock.over(home).start().await;
    let kept = gate.completed(&Order::of("five minutes")).await;
    let gate = gate.stop().await;
    clock.is_off_by(150);
    let gate = gate.start().await;
    gate.bytes(&gate.status(id_of(&kept)).await).await;
    let gate = gate.stop().await;
    clock.is_off_by(301);
    let gate = gate.start().await;
    let gone = after_its_bytes_went(&gate, id_of(&kept)).await;
    assert_eq!(
        (&gone["asset"], &gone["billing"]),
        (&kept["asset"], &kept["billing"])
    );
    for link in ["content_url", "download_url"] {
        let call = gate.get(kept[link].as_str().unwrap());
        let refusal = call.send().await.refused(410, "asset_expired");
        assert_eq!(refusal["generation_id"], kept["generation_id"]);
    }
    let shown = gate.run(&["status", id_of(&kept)]).await.succeeded();
    assert!(
        shown.out.contains("removed, its time was over"),
        "{shown:?}"
    );
    let download = gate.run(&["download", id_of(&kept)]).await.failed();
    assert!(download.err.contains("asset_expired"), "{download:?}");
    let home = gate.stop().await;
    assert_eq!(home.assets(), Vec::<String>::new());
    let audit = home.doctor().await;
    audit.is_closed_and_balanced();
    assert_eq!((audit.jobs, audit.under_way), (1, 0));
}
