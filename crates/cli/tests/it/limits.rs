//! What one client may take before it is told to come back later, and that nobody else pays for it.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::Method;
use serde_json::{Value, json};

use crate::gate::{Answer, Gate, id_of};
use crate::order::Order;

/// What the provider charges for a second, and each order here is a second.
const SECOND: i64 = 10_000_000;

async fn limited_key(gate: &Gate, terms: Value) -> (String, String) {
    let mut body = json!({"name": "limited", "role": "member"});
    for (name, value) in terms.as_object().unwrap() {
        body[name] = value.clone();
    }
    let made = gate.post("/v1/keys").json(&body).send().await.created();
    (
        id_of(&made).to_owned(),
        made["key"].as_str().unwrap().to_owned(),
    )
}

async fn create(gate: &Gate, key: &str, order: &Order) -> Answer {
    gate.post("/v1/videos")
        .key(key)
        .json(order.body())
        .send()
        .await
}

#[track_caller]
fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").parse().unwrap()
}

#[tokio::test]
async fn a_key_spends_what_it_may_and_no_more() {
    let gate = Gate::start().await;
    let (id, key) = limited_key(&gate, json!({"limit": "0.03"})).await;
    let shown = async || {
        gate.get("/v1/key")
            .key(&key)
            .send()
            .await
            .expect(200)
            .json()
    };
    assert_eq!(
        (
            &shown().await["limit"],
            &shown().await["limit_remaining_nanos"]
        ),
        (&json!("0.03"), &json!(3 * SECOND))
    );
    // Captured, then held: both count.
    let done = create(&gate, &key, &Order::of("one"))
        .await
        .expect(202)
        .json();
    gate.wait_terminal(id_of(&done)).await;
    let held = create(&gate, &key, &Order::of("two").endless()).await;
    let held = held.expect(202).json();
    let now = shown().await;
    assert_eq!(
        (
            &now["captured_nanos"],
            &now["held_nanos"],
            &now["in_flight"]
        ),
        (&json!(SECOND), &json!(SECOND), &json!(1))
    );
    let refused = create(&gate, &key, &Order::of("too long").with("duration", 2)).await;
    let body = refused.refused(402, "key_limit_exceeded");
    let said = body["description"].as_str().unwrap();
    for figure in ["0.03", "0.02"] {
        assert!(said.contains(figure), "{said}");
    }
    assert_eq!(refused.find_header("retry-after"), None, "it never resets");
    // What is given back can be spent again.
    gate.cancel(id_of(&held)).await;
    gate.wait_settled(id_of(&held)).await;
    create(&gate, &key, &Order::of("fits").with("duration", 2))
        .await
        .expect(202);
    create(&gate, &key, &Order::of("does not"))
        .await
        .refused(402, "key_limit_exceeded");
    // Another key of the workspace is not concerned, and the operator can raise the limit.
    gate.create(&Order::of("the admin's")).await;
    let raise = gate.call(Method::PATCH, &format!("/v1/keys/{id}"));
    let raised = raise.json(&json!({"limit": 1})).send().await.expect(200);
    assert_eq!(raised.json()["limit_nanos"], 1_000_000_000);
    create(&gate, &key, &Order::of("fits now"))
        .await
        .expect(202);
}

#[tokio::test]
async fn a_limit_that_resets_says_when_and_stays_out_of_the_clients_way_until_then() {
    let gate = Gate::start().await;
    let terms = json!({"limit": 0.01, "limit_reset": "monthly"});
    let (id, key) = limited_key(&gate, terms).await;
    create(&gate, &key, &Order::of("one").endless())
        .await
        .expect(202);
    let refused = create(&gate, &key, &Order::of("two")).await;
    refused.refused(429, "key_limit_exceeded");
    let shown = gate
        .get(&format!("/v1/keys/{id}"))
        .send()
        .await
        .expect(200)
        .json();
    let now = i64::try_from(retry_after(&refused)).unwrap();
    let resets_at = shown["limit_resets_at"].as_i64().unwrap();
    let created_at = shown["created_at"].as_i64().unwrap();
    assert!(
        (1..=32 * 86_400).contains(&now) && resets_at - created_at >= now - 1,
        "{now} {shown:#}"
    );
    assert_eq!(resets_at % 86_400, 0, "a month begins at midnight UTC");
    if now > 60 {
        assert_eq!(refused.header("x-should-retry"), "false");
    }
    assert_eq!(shown["limit_remaining_nanos"], 0);
    // What fits into no month is not worth waiting for.
    let never = create(&gate, &key, &Order::of("two").with("duration", 2)).await;
    never.refused(402, "key_limit_exceeded");
    assert_eq!(never.find_header("retry-after"), None);
}

#[tokio::test]
async fn a_key_has_as_many_jobs_under_way_as_it_may() {
    let gate = Gate::start().await;
    let (_, key) = limited_key(&gate, json!({"max_in_flight": 3})).await;
    let order = Order::of("side by side").endless();
    let all = futures::future::join_all((0..12).map(|_| create(&gate, &key, &order))).await;
    let (admitted, refused): (Vec<_>, Vec<_>) = all.iter().partition(|answer| answer.status == 202);
    assert_eq!((admitted.len(), refused.len()), (3, 9));
    for answer in refused {
        let body = answer.refused(429, "rate_limited");
        assert_eq!(body["reason"], "max_in_flight");
        assert!(retry_after(answer) > 0);
    }
    gate.cancel(id_of(&admitted[0].json())).await;
    create(&gate, &key, &order).await.expect(202);
    create(&gate, &key, &order)
        .await
        .refused(429, "rate_limited");
}

#[tokio::test]
async fn terms_that_make_no_sense_are_refused_by_the_field_and_change_nothing() {
    let gate = Gate::start().await;
    let (id, _) = limited_key(&gate, json!({"limit": "5", "limit_reset": "weekly"})).await;
    let path = format!("/v1/keys/{id}");
    let before = gate.get(&path).send().await.expect(200).json();
    for (change, field) in [
        (json!({"limit": -1}), "limit"),
        (json!({"limit": "0.0000000001"}), "limit"),
        (json!({"limit": "much"}), "limit"),
        (json!({"limit_reset": "yearly"}), "limit_reset"),
        (
            json!({"limit": null, "limit_reset": "daily"}),
            "limit_reset",
        ),
        (json!({"expires_at": 1}), "expires_at"),
        (json!({"expires_at": 1_795_420_800_000_i64}), "expires_at"),
        (json!({"max_in_flight": 0}), "max_in_flight"),
        (json!({"max_in_flight": 1_000_001}), "max_in_flight"),
        (json!({"disabled": "yes"}), "disabled"),
        (json!({"role": "king"}), "role"),
        (json!({"name": ""}), "name"),
        (json!({"banana": 1}), "banana"),
    ] {
        let patch = gate.call(Method::PATCH, &path).json(&change).send().await;
        patch.refused_field("validation_error", field);
        if field != "limit_reset" || change.get("limit").is_none() {
            let mut body = json!({"name": "new"});
            body.as_object_mut()
                .unwrap()
                .extend(change.as_object().unwrap().clone());
            let made = gate.post("/v1/keys").json(&body).send().await;
            made.refused_field("validation_error", field);
        }
    }
    assert_eq!(gate.get(&path).send().await.expect(200).json(), before);
    // Null takes a term away; what is not named stays.
    let patch = gate
        .call(Method::PATCH, &path)
        .json(&json!({"limit": null}));
    let after = patch.send().await.expect(200).json();
    assert_eq!(
        (&after["limit"], &after["limit_reset"], &after["name"]),
        (&Value::Null, &Value::Null, &before["name"])
    );
}

#[tokio::test]
async fn a_key_that_calls_too_often_is_told_when_to_come_back_and_others_are_not() {
    let gate = Gate::configured("[server]\nkey_requests_per_second = 1\nkey_burst = 5").await;
    let busy = gate.new_key("read", None).await;
    let mut refused = None;
    // Fifty calls at one a second would take the best part of a minute.
    for _ in 0..50 {
        let answer = gate.get("/v1/key").key(&busy).send().await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.expect(200);
    }
    let refused = refused.expect("fifty calls at once are too many");
    refused.refused(429, "rate_limited");
    assert_eq!(retry_after(&refused), 1);
    let quiet = gate.get("/v1/key").send().await;
    quiet.expect(200);
    gate.get("/health").anonymous().send().await.expect(200);
}

#[tokio::test]
async fn whoever_guesses_secrets_is_told_to_stop_and_locks_nobody_out() {
    let gate = Gate::start().await;
    let guessed = gate.new_key("member", None).await;
    let kid = guessed.split('_').nth(1).unwrap();
    for kids in [
        vec![kid.to_owned()],
        (0..30).map(|n| format!("kid{n}")).collect(),
    ] {
        let guesses = kids.iter().cycle().take(30).enumerate();
        let mut stopped = None;
        for (number, kid) in guesses {
            let guess = format!("fg_{kid}_{number:0>64}");
            let answer = gate.get("/v1/videos").key(&guess).send().await;
            if answer.status == 429 {
                stopped = Some(answer);
                break;
            }
            answer.refused(401, "unauthorised");
        }
        let stopped = stopped.expect("thirty wrong keys are too many");
        let body = stopped.refused(429, "rate_limited");
        assert_eq!(body["reason"], "too_many_failed_logins");
        assert!((1..=60).contains(&retry_after(&stopped)));
    }
    // Neither the owner of the key that was guessed at nor anybody else at this address pays for it.
    for key in [&guessed, &gate.key] {
        gate.get("/v1/videos").key(key).send().await.expect(200);
    }
}

#[tokio::test]
async fn bodies_take_no_more_memory_than_there_is_for_them() {
    let gate = Gate::configured(
        "[server]\ncreate_body_bytes = 65536\nbody_memory_bytes = 65536\nkey_requests_per_second = 0",
    )
    .await;
    let large = Order::of(&"a boat ".repeat(4000)).endless();
    let mut slow = begin_upload(&gate);
    let mut refused = None;
    // Until the server has read the slow one, the other still fits; and whichever of the two it reads later is refused.
    for _ in 0..1000 {
        let answer = create(&gate, &gate.key, &large).await;
        if answer.status == 503 {
            refused = Some(answer);
            break;
        }
        gate.cancel(id_of(&answer.expect(202).json())).await;
        if was_answered(&slow) {
            slow = begin_upload(&gate);
        }
    }
    let refused = refused.expect("both bodies together are too large");
    refused.refused(503, "overloaded");
    assert!(retry_after(&refused) > 0);
    let before = gate.video_count().await;
    gate.create(&Order::of("small ones fit")).await;
    assert_eq!(
        gate.video_count().await,
        before + 1,
        "the refused one left nothing"
    );
    // The slow one is read to its end and told what is wrong with it; then there is room again.
    slow.write_all(&[b' '; 10_000]).unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    create(&gate, &gate.key, &large).await.expect(202);
}

/// A create of which most is sent, and the rest is still to come.
fn begin_upload(gate: &Gate) -> TcpStream {
    let host = gate.address.strip_prefix("http://").unwrap();
    let mut upload = TcpStream::connect(host).unwrap();
    write!(
        upload,
        "POST /v1/videos HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n",
        gate.key
    )
    .unwrap();
    upload.write_all(&[b' '; 50_000]).unwrap();
    upload
}

fn was_answered(upload: &TcpStream) -> bool {
    upload.set_nonblocking(true).unwrap();
    let answered = upload.peek(&mut [0]).is_ok();
    upload.set_nonblocking(false).unwrap();
    answered
}

#[tokio::test]
async fn a_flood_of_one_workspace_does_not_stand_before_another() {
    let gate =
        Gate::configured("[engine]\nworkers = 2\n[server]\nkey_requests_per_second = 0").await;
    let workspace = gate.new_workspace("small").await;
    let small = gate.new_key("member", Some(&workspace)).await;
    // Each takes a worker for a while.
    let flood = Order::of("one of many").simulate(json!({"submit_seconds": 0.1}));
    let many = (0..40).map(|_| gate.create(&flood));
    futures::future::join_all(many).await;
    let made = create(&gate, &small, &Order::of("a single one")).await;
    let path = format!("/v1/videos/{}?wait=60", id_of(&made.expect(202).json()));
    let done = gate.get(&path).key(&small).send().await.expect(200).json();
    assert_eq!(done["status"], "completed", "{done:#}");
    let waiting = gate.get("/v1/videos?status=queued&limit=200").send().await;
    let waiting = waiting.expect(200).json()["data"].as_array().unwrap().len();
    assert!(
        waiting >= 20,
        "only {waiting} of the forty that were there before still wait"
    );
}
