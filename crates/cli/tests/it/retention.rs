//! How long what jobs stored is kept: what is configured, and what was promised.
//!
//! That it goes when its time is over takes a minute and is in `ageing`.

use serde_json::{Value, json};

use crate::gate::{Gate, Home};
use crate::order::Order;

const THIRTY_DAYS: i64 = 30 * 24 * 3600;

#[track_caller]
fn is_kept_for(video: &Value, seconds: i64) {
    let end = video["completed_at"].as_i64().unwrap();
    assert_eq!(video["assets_expire_at"], end + seconds, "{video:#}");
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
