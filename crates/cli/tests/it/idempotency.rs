//! A request sent twice under one key makes one video, whatever happens in between.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
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
async fn a_crash_in_the_middle_makes_nothing_twice() {
    const AT_ONCE: usize = 16;
    let mut gate = Gate::configured("[server]\nkey_requests_per_second = 0").await;
    let order = Order::of("once").endless();
    // The plug is pulled after so many of the answers have come, the others being anywhere between the wire and the
    // disk.
    for answered in [0, 1, 4, 9, 15] {
        let key = |number: usize| format!("{answered}-{number}");
        let calls = (0..AT_ONCE).map(|number| {
            let call = gate
                .post("/v1/videos")
                .header("idempotency-key", &key(number));
            let sent = call.json(order.body()).try_send();
            async move { (number, sent.await) }
        });
        let mut calls: FuturesUnordered<_> = calls.collect();
        let mut told = BTreeMap::new();
        while told.len() < answered {
            let (number, answer) = calls.next().await.unwrap();
            told.insert(
                number,
                id_of(&answer.unwrap().expect(202).json()).to_owned(),
            );
        }
        // One more step, so that the first round has something under way too.
        let _ = futures::poll!(calls.next());
        let home = gate.kill().await;
        while let Some((number, answer)) = calls.next().await {
            if let Ok(answer) = answer {
                told.insert(number, id_of(&answer.expect(202).json()).to_owned());
            }
        }
        gate = home.start().await;
        let before = gate.video_count().await;
        let mut ids = BTreeSet::new();
        let mut replayed = 0;
        for number in 0..AT_ONCE {
            let again = send(&gate, &key(number), &order).await.expect(202);
            replayed += usize::from(again.find_header("idempotent-replayed").is_some());
            let id = id_of(&again.json()).to_owned();
            if let Some(told) = told.get(&number) {
                assert_eq!(
                    id, *told,
                    "{number} was told of another video before the crash"
                );
            }
            ids.insert(id);
        }
        assert_eq!(ids.len(), AT_ONCE);
        assert!(replayed >= told.len(), "{replayed} {told:?}");
        assert_eq!(gate.video_count().await - before, AT_ONCE - replayed);
    }
    assert_eq!(gate.video_count().await, 5 * AT_ONCE);
    let audit = gate.stop().await.doctor().await;
    assert_eq!((audit.jobs, audit.holds_open), (80, 80));
    let faults = (
        audit.unbalanced,
        audit.balances_wrong,
        audit.standings_wrong,
    );
    assert_eq!(faults, (0, 0, 0));
}

#[tokio::test]
async fn what_operators_make_is_made_once_and_a_secret_is_never_shown_again() {
    let mut gate = Gate::start().await;
    let made = gate
        .post("/v1/keys")
        .json(&json!({"name": "to be rotated"}))
        .send()
        .await
        .created();
    let rotate = format!("/v1/keys/{}/rotate", id_of(&made));
    let calls = [
        (
            "/v1/keys",
            json!({"name": "once", "limit": "1.5"}),
            json!({"name": "twice"}),
            201,
        ),
        (
            "/v1/workspaces",
            json!({"name": "once"}),
            json!({"name": "twice"}),
            201,
        ),
        (
            rotate.as_str(),
            json!({"overlap_seconds": 60}),
            json!({"overlap_seconds": 61}),
            200,
        ),
        (
            "/v1/credits",
            json!({"amount": 1, "reason": "once"}),
            json!({"amount": 2, "reason": "once"}),
            201,
        ),
    ];
    let post = |gate: &Gate, path: &str, body: &serde_json::Value| {
        gate.post(path)
            .header("idempotency-key", "a-key")
            .json(body)
            .send()
    };
    let mut firsts = Vec::new();
    for (path, body, other, status) in &calls {
        let first = post(&gate, path, body).await.expect(*status);
        assert_eq!(first.find_header("idempotent-replayed"), None, "{path}");
        let again = post(&gate, path, body).await.expect(*status);
        assert_eq!(again.header("idempotent-replayed"), "true", "{path}");
        let mut expected = first.json();
        if path.contains("keys") {
            let secret = expected.as_object_mut().unwrap().remove("key");
            assert!(secret.is_some(), "the first answer has no key: {path}");
        }
        assert_eq!(again.json(), expected, "{path}");
        let conflict = post(&gate, path, other).await;
        conflict.refused(409, "idempotency_conflict");
        assert_eq!(conflict.header("x-should-retry"), "false");
        firsts.push(expected);
    }
    let count = async |gate: &Gate, path: &str| {
        let list = gate.get(path).send().await.expect(200).json();
        list["data"].as_array().unwrap().len()
    };
    assert_eq!(
        count(&gate, "/v1/keys").await,
        3,
        "the first, the rotated, one more"
    );
    assert_eq!(count(&gate, "/v1/workspaces").await, 2);
    let lines = count(&gate, "/v1/admin/actions").await;
    gate = gate.kill().await.start().await;
    for ((path, body, _, status), first) in calls.iter().zip(&firsts) {
        let again = post(&gate, path, body).await.expect(*status);
        assert_eq!(again.json(), *first, "{path}");
    }
    assert_eq!(count(&gate, "/v1/admin/actions").await, lines);
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
