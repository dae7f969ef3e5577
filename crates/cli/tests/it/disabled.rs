//! The video API switched off: every video route says so, before it asks who is there.

use serde_json::json;

use crate::gate::{Gate, id_of};
use crate::order::Order;
use crate::routes;

#[tokio::test]
async fn every_video_route_is_off_for_everybody() {
    let gate = Gate::configured("[video]\nenabled = false").await;
    // What is published does not depend on the switch, so the routes are known.
    let open = Gate::start().await;
    let routes: Vec<routes::Route> = routes::published(&open).await;
    let about_videos: Vec<&routes::Route> = routes
        .iter()
        .filter(|route| route.is_about_videos())
        .collect();
    assert!(about_videos.len() >= 11, "{about_videos:?}");
    let id = format!("video_{}", "0".repeat(26));
    for route in about_videos {
        let call = || gate.call(route.method.clone(), &route.at(&id));
        let calls = [
            call(),
            call().anonymous(),
            call().key("nonsense"),
            call().body("text/plain", "{"),
        ];
        for answer in futures::future::join_all(calls.map(|call| call.send())).await {
            let body = answer.refused(501, "not_implemented");
            assert_eq!(
                body["reason"], "video_api_temporarily_disabled",
                "{route:?}"
            );
        }
    }
    for path in [
        "/v1/video/generations",
        &format!("/v1/video/generations/{id}/content"),
    ] {
        gate.get(path)
            .anonymous()
            .send()
            .await
            .refused(501, "not_implemented");
    }
    // Everything else goes on.
    gate.get("/health").anonymous().send().await.expect(200);
    gate.get("/ready").anonymous().send().await.expect(200);
    gate.get("/v1/keys").send().await.expect(200);
}

#[tokio::test]
async fn running_jobs_go_on_while_it_is_off() {
    let gate = Gate::start().await;
    let made = gate
        .create(&Order::of("unseen").simulate(json!({"render_seconds": 0.5})))
        .await;
    let home = gate
        .stop()
        .await
        .environment("FILMGATE_VIDEO__ENABLED", "false");
    let off = home
        .environment("RUST_LOG", "filmgate_engine=debug")
        .start()
        .await;
    // Nobody can ask for the video now; the log tells when its job is over.
    off.wait_logged("state=\"completed\"").await;
    let home = off.stop().await;
    assert_eq!(home.doctor().await.under_way, 0);
    let on = home
        .environment("FILMGATE_VIDEO__ENABLED", "true")
        .start()
        .await;
    assert_eq!(on.wait_terminal(id_of(&made)).await["status"], "completed");
}
