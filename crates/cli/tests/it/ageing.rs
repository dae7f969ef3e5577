//! What happens to jobs as time goes by.
//!
//! These wait for real time, as long as the shortest promise about it lasts. They stand first, so that everything
//! else is tested meanwhile.

use serde_json::{Value, json};

use crate::gate::{Gate, id_of, is_terminal};
use crate::order::Order;
use crate::status_object;

#[tokio::test]
async fn a_job_without_a_result_in_time_expires_even_across_a_crash() {
    let gate = Gate::start().await;
    let slow = Order::of("too slow")
        .with("expires_after", 60)
        .simulate(json!({"render_seconds": 3600}));
    let made = gate.create(&slow).await;
    gate.wait_processing(id_of(&made)).await;
    ascending_lists_stop_short_of_now(&gate, &made).await;

    let gate = gate.kill().await.start().await;
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
    assert!(lived >= 60, "it was given up after {lived} s");

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

#[tokio::test]
async fn a_video_whose_time_is_over_is_gone_and_its_books_stay() {
    let gate = Gate::configured("[assets]\nretention = \"1m\"").await;
    let kept = gate.completed(&Order::of("a minute")).await;
    let gate = gate.restart().await;
    let path = format!("/v1/videos/{}", id_of(&kept));
    let mut answer = gate.get(&path).send().await.expect(200);
    let gone = loop {
        let seen = status_object::whole(answer.json());
        if seen["outputs"][0]["bytes_available"] == false {
            break seen;
        }
        gate.bytes(&seen).await;
        let next = gate
            .get(&format!("{path}?wait=60"))
            .header("if-none-match", answer.header("etag"));
        let next = next.send().await;
        if next.status == 200 {
            status_object::follows(&seen, &status_object::whole(next.json()));
            answer = next;
        }
    };
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

/// A job younger than five seconds is not in an ascending list, and an older one is.
async fn ascending_lists_stop_short_of_now(gate: &Gate, older: &Value) {
    // By the end of this one, the older one is.
    let younger = gate
        .completed(&Order::of("six seconds").simulate(json!({"render_seconds": 6})))
        .await;
    let newest = gate.create(&Order::of("just now").endless()).await;
    let page = gate
        .get("/v1/videos?order=asc")
        .send()
        .await
        .expect(200)
        .json();
    let ids: Vec<&str> = page["data"].as_array().unwrap().iter().map(id_of).collect();
    assert_eq!(ids, [id_of(older), id_of(&younger)]);
    assert_eq!(
        (&page["first_id"], &page["last_id"]),
        (&older["id"], &younger["id"])
    );
    let behind = gate
        .get(&format!("/v1/videos?order=asc&after={}", id_of(&younger)))
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&behind["data"], &behind["has_more"]),
        (&json!([]), &json!(false))
    );
    let descending = gate.get("/v1/videos").send().await.expect(200).json();
    assert_eq!(descending["first_id"], newest["id"]);
    gate.cancel(id_of(&newest)).await;
}
