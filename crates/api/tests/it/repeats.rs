//! Answers that do not reach their client: dropped by the server at any point before their end.

use axum::body::Body;
use filmgate_core::repeat::Answer;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::gate::Gate;

/// The answer to a create, of which nothing was read yet.
async fn answer(gate: &Gate) -> http::Response<Body> {
    let order = gate.order(json!({"provider_params": {"simulate": {"render_seconds": 3600}}}));
    let request = Request::post("/v1/videos")
        .header("host", "films.example:8080")
        .header("authorization", format!("Bearer {}", gate.member))
        .header("content-type", "application/json")
        .body(Body::from(order.to_string()));
    let response = gate.routes.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), 202);
    response
}

fn is_replayed(response: &http::Response<Body>) -> bool {
    response.headers().contains_key("x-filmgate-replayed")
}

async fn id(response: http::Response<Body>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let video: Value = serde_json::from_slice(&body).unwrap();
    video["id"].as_str().unwrap().to_owned()
}

/// Whatever was spawned to note an answer has come to its end: the store takes one thing after the other.
async fn noted(gate: &Gate) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
        let nothing = gate.engine.store().note_answers(Vec::new(), Answer::Lost);
        nothing.await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_before_its_end_brings_its_client_back_to_the_same_video() {
    let gate = Gate::open().await;
    // Nobody reads a byte of it, as when the connection has closed.
    drop(answer(&gate).await);
    noted(&gate).await;
    let again = answer(&gate).await;
    assert!(is_replayed(&again));
    // That one was not read either.
    drop(again);
    noted(&gate).await;
    let third = answer(&gate).await;
    assert!(is_replayed(&third));
    let first = id(third).await;
    noted(&gate).await;
    let other = answer(&gate).await;
    assert!(!is_replayed(&other), "the last one was read to its end");
    assert_ne!(id(other).await, first);
}
