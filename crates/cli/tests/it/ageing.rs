//! What happens to jobs as time goes by: the gateways' wall clock is moved, nobody waits.

use serde_json::{Value, json};

use crate::gate::{Gate, Home, id_of, is_terminal};
use crate::order::Order;
use crate::wall_clock::WallClock;

#[tokio::test]
async fn a_job_without_a_result_in_time_expires_even_across_a_crash() {
    let clock = WallClock::new();
    let gate = clock.over(Home::new()).start().await;
    let slow = Order::of("too slow")
        .with("expires_after", 3600)
        .simulate(json!({"render_seconds": 7200}));
    let made = gate.create(&slow).await;
    gate.wait_processing(id_of(&made)).await;
    let gate = gate.kill().await;
    clock.is_off_by(1800);
    let gate = gate.start().await;
    let under_way = gate.status(id_of(&made)).await;
    assert_eq!(under_way["status"], "processing", "{under_way:#}");
    ascending_lists_stop_short_of_now(&gate, &made).await;

    let gate = gate.kill().await;
    clock.is_off_by(3601);
    let gate = gate.start().await;
    let expired = gate.wait_until(id_of(&made), is_terminal).await;
    assert_eq!(
        (&expired["status"], &expired["error"]["code"]),
        (&json!("expired"), &json!("expired"))
    );
    let settled = gate.wait_settled(id_of(&made)).await;
    assert_eq!(
        (
            &settled["billing"]["state"],
            &settled["billing"]["total_nanos"]
        ),
        (&json!("void"), &json!(0))
    );
    let lived = settled["completed_at"].as_i64().unwrap() - settled["created_at"].as_i64().unwrap();
    assert!(lived >= 3600, "it was given up after {lived} s");

    let path = format!("/v1/videos/{}", id_of(&made));
    let refused = gate
        .post(&format!("{path}/cancel"))
        .send()
        .await
        .refused(400, "validation_error");
    assert_eq!(
        refused["reason"],
        "video_cancel_requires_non_terminal_status"
    );
    let refused = gate
        .get(&format!("{path}/content"))
        .send()
        .await
        .refused(409, "not_ready");
    assert_eq!(refused["reason"], "video_expired");
    let again = gate
        .post(&format!("{path}/retry"))
        .send()
        .await
        .expect(202)
        .json();
    assert_eq!(again["retried_from"], made["id"]);
    gate.cancel(id_of(&again)).await;
    gate.wait_settled(id_of(&again)).await;
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

/// A job younger than five seconds is not in an ascending list, and an older one is.
async fn ascending_lists_stop_short_of_now(gate: &Gate, older: &Value) {
    let newest = gate.create(&Order::of("just now").endless()).await;
    let list = |query: &str| gate.get(&format!("/v1/videos?{query}")).send();
    let page = list("order=asc").await.expect(200).json();
    let ids: Vec<&str> = page["data"].as_array().unwrap().iter().map(id_of).collect();
    assert_eq!(ids, [id_of(older)]);
    assert_eq!(
        (&page["first_id"], &page["last_id"]),
        (&older["id"], &older["id"])
    );
    let behind = list(&format!("order=asc&after={}", id_of(older))).await;
    let behind = behind.expect(200).json();
    assert_eq!(
        (&behind["data"], &behind["has_more"]),
        (&json!([]), &json!(false))
    );
    let descending = list("order=desc").await.expect(200).json();
    assert_eq!(descending["first_id"], newest["id"]);
    gate.cancel(id_of(&newest)).await;
}
