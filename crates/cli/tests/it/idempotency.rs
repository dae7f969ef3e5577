//! A request sent twice under one key makes one video, whatever happens in between.

use std::collections::BTreeSet;

use serde_json::json;

use crate::gate::{Answer, Gate, id_of};
use crate::order::{Form, Order, data_url, picture};

async fn send(gate: &Gate, key: &str, order: &Order) -> Answer {
    gate.post("/v1/videos")
        .header("idempotency-key", key)
        .json(order.body())
        .send()
        .await
}

#[tokio::test]
async fn the_same_key_and_body_give_the_same_video_as_it_is_now() {
    let gate = Gate::start().await;
    let order = Order::of("once");
    let first = send(&gate, "a-key", &order).await.expect(202);
    assert_eq!(first.find_header("idempotent-replayed"), None);
    let done = gate.wait_terminal(id_of(&first.json())).await;
    let again = send(&gate, "a-key", &order).await.expect(202);
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json(), done);
    assert_eq!(gate.video_count().await, 1);
}

#[tokio::test]
async fn the_same_body_may_be_written_differently() {
    let gate = Gate::start().await;
    let order = Order::of("once").with("input_reference", data_url(&picture(3)));
    let first = send(&gate, "a-key", &order).await.expect(202).json();
    let spelled = Order::of("once").without("duration").with("seconds", "1").with(
        "input_references",
        json!([{"type": "image_url", "role": "first_frame", "image_url": {"url": data_url(&picture(3))}}]),
    );
    assert_eq!(
        send(&gate, "a-key", &spelled).await.expect(202).json()["id"],
        first["id"]
    );
    let form = Form::new()
        .text("model", "filmgate/testcard")
        .text("prompt", "once")
        .text("duration", "1")
        .text("size", "320x180")
        .file("input_reference", "x.png", "image/png", &picture(3));
    let uploaded = gate
        .post("/v1/videos")
        .header("idempotency-key", "a-key")
        .body(&Form::content_type(), form.finish());
    assert_eq!(uploaded.send().await.expect(202).json()["id"], first["id"]);
    assert_eq!(gate.video_count().await, 1);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_a_conflict() {
    let gate = Gate::start().await;
    let order = Order::of("once").with("input_reference", data_url(&picture(3)));
    send(&gate, "a-key", &order).await.expect(202);
    for other in [
        order.clone().with("seed", 1),
        order.clone().with("input_reference", data_url(&picture(4))),
    ] {
        let conflict = send(&gate, "a-key", &other).await;
        conflict.refused(409, "idempotency_conflict");
        assert_eq!(conflict.header("x-should-retry"), "false");
    }
    assert_eq!(gate.video_count().await, 1);
    assert!(
        gate.home()
            .assets()
            .iter()
            .filter(|file| file.contains("/input/"))
            .count()
            == 1,
        "a refused picture stays"
    );
}

#[tokio::test]
async fn twenty_at_once_are_one() {
    let gate = Gate::start().await;
    let order = Order::of("once");
    let answers = futures::future::join_all((0..20).map(|_| send(&gate, "a-key", &order))).await;
    let ids: BTreeSet<String> = answers
        .iter()
        .map(|answer| id_of(&answer.clone().expect(202).json()).to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    let replayed = answers
        .iter()
        .filter(|answer| answer.find_header("idempotent-replayed").is_some())
        .count();
    assert_eq!(replayed, 19);
    assert_eq!(gate.video_count().await, 1);
}

#[tokio::test]
async fn a_key_is_remembered_across_a_restart_and_a_crash() {
    let gate = Gate::start().await;
    let order = Order::of("once");
    let first = send(&gate, "a-key", &order).await.expect(202).json();
    let gate = gate.kill().await.start().await;
    assert_eq!(
        send(&gate, "a-key", &order).await.expect(202).json()["id"],
        first["id"]
    );
    let gate = gate.restart().await;
    let again = send(&gate, "a-key", &order).await.expect(202);
    assert_eq!(
        (&again.json()["id"], again.header("idempotent-replayed")),
        (&first["id"], "true")
    );
    send(&gate, "a-key", &order.with("seed", 2))
        .await
        .refused(409, "idempotency_conflict");
}

#[tokio::test]
async fn a_refusal_leaves_the_key_free() {
    let gate = Gate::start().await;
    send(&gate, "a-key", &Order::of("wrong").with("duration", 99))
        .await
        .refused(400, "validation_error");
    send(&gate, "a-key", &Order::of("right")).await.expect(202);
}

#[tokio::test]
async fn keys_of_different_workspaces_and_routes_never_meet() {
    let gate = Gate::start().await;
    let order = Order::of("once");
    let first = send(&gate, "a-key", &order).await.expect(202).json();
    let workspace = gate.new_workspace("other").await;
    let stranger = gate.new_key("member", Some(&workspace)).await;
    let other = gate
        .post("/v1/videos")
        .key(&stranger)
        .header("idempotency-key", "a-key")
        .json(order.body())
        .send()
        .await;
    let other = other.expect(202);
    assert_eq!(other.find_header("idempotent-replayed"), None);
    assert_ne!(other.json()["id"], first["id"]);
    // The key of a create is free for a retry.
    let endless = gate.create(&Order::of("tried again").endless()).await;
    gate.cancel(id_of(&endless)).await;
    let retry = || {
        gate.post(&format!("/v1/videos/{}/retry", id_of(&endless)))
            .header("idempotency-key", "a-key")
            .send()
    };
    let made = retry().await.expect(202);
    assert_eq!(made.find_header("idempotent-replayed"), None);
    let again = retry().await.expect(202);
    assert_eq!(
        (&again.json()["id"], again.header("idempotent-replayed")),
        (&made.json()["id"], "true")
    );
}

#[tokio::test]
async fn a_key_that_made_a_video_which_was_deleted_makes_no_other() {
    let gate = Gate::start().await;
    let order = Order::of("once");
    let first = send(&gate, "a-key", &order).await.expect(202).json();
    gate.wait_terminal(id_of(&first)).await;
    gate.delete(&format!("/v1/videos/{}", id_of(&first)))
        .send()
        .await
        .expect(200);
    assert_eq!(
        send(&gate, "a-key", &order).await.refused(404, "not_found")["reason"],
        "video_deleted"
    );
    assert_eq!(gate.video_count().await, 0);
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let gate = Gate::start().await;
    for key in ["", "two words", &"x".repeat(256)] {
        send(&gate, key, &Order::of("refused"))
            .await
            .refused_field("validation_error", "Idempotency-Key");
    }
    send(&gate, &"x".repeat(255), &Order::of("taken"))
        .await
        .expect(202);
    assert_eq!(gate.video_count().await, 1);
}
