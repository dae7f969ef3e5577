use filmgate_api::{Config, VideoConfig};
use serde_json::{Value, json};

use crate::gate::{Answer, Gate};

#[track_caller]
fn envelope(answer: Answer, status: u16, error: &str) -> Value {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let id = answer.header("x-request-id").unwrap().to_owned();
    let body = answer.expect(status).json();
    assert_eq!(body["error"], error, "{body}");
    assert_eq!(body["status_code"], status);
    assert_eq!(body["request_id"], id);
    for field in ["error_type", "error_origin", "reason", "description"] {
        assert!(body[field].is_string(), "{field}: {body}");
    }
    assert!(body.get("generation_id").is_some());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_wears_the_envelope() {
    let gate = Gate::open().await;
    envelope(gate.get("/v1/nothing").await, 404, "not_found");
    envelope(gate.call("GET", "/").send().await, 404, "not_found");
    for uri in [
        "/v1/videos/nonsense",
        "/v1/videos/video_00000000000000000000000000",
    ] {
        envelope(gate.get(uri).await, 404, "not_found");
    }
    let wrong = gate
        .call("PATCH", "/v1/videos")
        .key(&gate.member)
        .send()
        .await;
    let allow = wrong.header("allow").unwrap().to_owned();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    envelope(wrong, 405, "method_not_allowed");
    let text = gate
        .call("POST", "/v1/videos")
        .key(&gate.member)
        .header("content-type", "text/plain");
    envelope(text.body("x").await, 415, "unsupported_media_type");
    let nonsense = gate
        .call("POST", "/v1/videos")
        .key(&gate.member)
        .header("content-type", "application/json");
    let body = envelope(nonsense.body("{\"model\":}").await, 400, "invalid_json");
    assert!(
        body["description"]
            .as_str()
            .unwrap()
            .contains("line 1 column")
    );
    envelope(gate.get("/v1/videos/%ff").await, 404, "not_found");
    envelope(gate.get("/docs/nothing.js").await, 404, "not_found");
    let head = gate
        .call("HEAD", "/v1/videos/nonsense")
        .key(&gate.member)
        .send()
        .await
        .expect(404);
    assert!(head.bytes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_roles_decide_who_may_what() {
    let gate = Gate::open().await;
    let open = gate.call("GET", "/v1/videos").send().await;
    assert_eq!(open.header("www-authenticate"), Some("Bearer"));
    envelope(open, 401, "unauthorised");
    let wrong = format!("{}x", gate.member);
    envelope(
        gate.call("GET", "/v1/videos").key(&wrong).send().await,
        401,
        "unauthorised",
    );
    let made = gate.create(json!({})).await;
    let id = made["id"].as_str().unwrap();
    for (method, path) in [
        ("POST", "/v1/videos".to_owned()),
        ("POST", format!("/v1/videos/{id}/cancel")),
        ("POST", format!("/v1/videos/{id}/retry")),
        ("DELETE", format!("/v1/videos/{id}")),
    ] {
        let call = gate.call(method, &path).key(&gate.reader);
        envelope(call.json(json!({})).await, 403, "forbidden");
    }
    gate.finished(id).await;
    for (method, path) in [
        ("GET", ""),
        ("GET", "/content"),
        ("GET", "/timeline"),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("POST", "/download_url"),
        ("DELETE", ""),
    ] {
        let call = gate
            .call(method, &format!("/v1/videos/{id}{path}"))
            .key(&gate.stranger);
        envelope(call.send().await, 404, "not_found");
    }
    envelope(
        gate.post("/v1/keys", json!({"name": "x"})).await,
        403,
        "forbidden",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_makes_keys_that_work_until_they_are_revoked() {
    let gate = Gate::open().await;
    let admin = |method: &str, uri: &str| gate.call(method, uri).key(&gate.admin);
    let space = admin("POST", "/v1/workspaces")
        .json(json!({"name": "new"}))
        .await;
    let space = space.expect(201).json();
    let taken = admin("POST", "/v1/workspaces")
        .json(json!({"name": "new"}))
        .await;
    envelope(taken, 400, "validation_error");
    let made = admin("POST", "/v1/keys")
        .json(json!({"name": "k", "role": "read", "workspace_id": space["id"]}))
        .await
        .expect(201)
        .json();
    let key = made["key"].as_str().unwrap().to_owned();
    gate.call("GET", "/v1/videos")
        .key(&key)
        .send()
        .await
        .expect(200);
    let listed = admin("GET", "/v1/keys").send().await.expect(200).json();
    assert!(
        listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["id"] == made["id"])
    );
    assert!(
        listed.to_string().matches(&key).next().is_none(),
        "never shown again"
    );
    let uri = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    let revoked = admin("DELETE", &uri).send().await.expect(200).json();
    assert!(revoked["revoked_at"].is_i64());
    envelope(
        gate.call("GET", "/v1/videos").key(&key).send().await,
        401,
        "unauthorised",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_switched_off_says_so_before_anything_else() {
    let gate = Gate::with(Config::default(), VideoConfig { enabled: false }).await;
    for (method, uri) in [
        ("GET", "/v1/videos"),
        ("POST", "/v1/videos"),
        ("GET", "/v1/videos/models"),
        ("POST", "/v1/video/generations/quote"),
        ("GET", "/v1/videos/video_x/content"),
        ("GET", "/v1/generations?id=gen_x"),
    ] {
        let body = envelope(gate.call(method, uri).send().await, 501, "not_implemented");
        assert_eq!(body["reason"], "video_api_temporarily_disabled");
    }
    gate.call("GET", "/health").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_no_key_is_open_and_other_origins_are_not() {
    let gate = Gate::open().await;
    for uri in ["/health", "/ready", "/docs/", "/llms.txt", "/openapi.json"] {
        let answer = gate
            .call("GET", uri)
            .header("origin", "https://elsewhere.example")
            .send()
            .await
            .expect(200);
        assert!(
            answer.header("access-control-allow-origin").is_none(),
            "{uri}"
        );
    }
    let document = gate.call("GET", "/openapi.json").send().await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in [
        "/v1/videos",
        "/v1/videos/{video_id}/content",
        "/v1/video/generations/quote",
        "/v1/keys/{key_id}",
        "/v1/generations",
    ] {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
    assert!(document["components"]["securitySchemes"]["bearer"].is_object());
    let config = Config {
        cors_origins: vec!["https://studio.example".into()],
        ..Config::default()
    };
    let gate = Gate::with(config, VideoConfig::default()).await;
    let asked = gate
        .call("OPTIONS", "/v1/videos")
        .header("origin", "https://studio.example")
        .header("access-control-request-method", "POST")
        .send()
        .await
        .expect(200);
    assert!(asked.header("x-request-id").is_some());
    assert_eq!(
        asked.header("access-control-allow-origin"),
        Some("https://studio.example")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn links_use_the_public_url_where_there_is_one() {
    let config = Config {
        public_url: Some("https://films.example/".into()),
        ..Config::default()
    };
    let gate = Gate::with(config, VideoConfig::default()).await;
    let made = gate.create(json!({})).await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        made["polling_url"],
        format!("https://films.example/v1/videos/{id}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_trusted_proxies_say_how_a_client_reached_us() {
    use axum::extract::ConnectInfo;
    use filmgate_api::Peer;
    use std::net::SocketAddr;
    use tower::ServiceExt;
    let config = Config {
        trusted_proxies: vec!["10.0.0.0/8".into()],
        ..Config::default()
    };
    let gate = Gate::with(config, VideoConfig::default()).await;
    for (peer, origin) in [
        ("10.1.1.1:5", "https://films.example"),
        ("11.1.1.1:5", "http://inner:8080"),
    ] {
        let mut request = http::Request::post("/v1/videos")
            .header("host", "inner:8080")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "films.example")
            .header("authorization", format!("Bearer {}", gate.member))
            .body(axum::body::Body::from(gate.order(json!({})).to_string()))
            .unwrap();
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(Peer::at(peer)));
        let response = gate.routes.clone().oneshot(request).await.unwrap();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let made: Value = serde_json::from_slice(&bytes).unwrap();
        let url = made["polling_url"].as_str().unwrap();
        assert!(url.starts_with(&format!("{origin}/v1/videos/")), "{url}");
    }
}

#[tokio::test]
async fn wrong_keys_are_counted_for_the_client_a_trusted_proxy_names() {
    use axum::extract::ConnectInfo;
    use filmgate_api::Peer;
    use std::net::SocketAddr;
    use tower::ServiceExt;
    let config = Config {
        trusted_proxies: vec!["10.0.0.0/8".into()],
        failed_logins_per_minute: 3,
        ..Config::default()
    };
    let gate = Gate::with(config, VideoConfig::default()).await;
    let wrong = async |peer: &str, forwarded: &str| {
        let mut request = http::Request::get("/v1/videos")
            .header("x-forwarded-for", forwarded)
            .header(
                "authorization",
                "Bearer fg_nobody_00000000000000000000000000000000",
            )
            .body(axum::body::Body::empty())
            .unwrap();
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(Peer::at(peer)));
        let response = gate.routes.clone().oneshot(request).await.unwrap();
        response.status().as_u16()
    };
    // Whatever a client writes in front of what the proxies add, it is one client.
    for invented in ["203.0.113.1", "203.0.113.2", "10.9.9.9"] {
        let forwarded = format!("{invented}, 192.0.2.1, 10.2.2.2");
        assert_eq!(wrong("10.1.1.1:5", &forwarded).await, 401);
    }
    assert_eq!(wrong("10.1.1.1:5", "192.0.2.1").await, 429);
    assert_eq!(wrong("10.1.1.1:5", "192.0.2.2").await, 401);
    // A peer that is no proxy of ours names nobody but itself.
    for forwarded in ["192.0.2.3", "192.0.2.4", "192.0.2.5"] {
        assert_eq!(wrong("11.1.1.1:5", forwarded).await, 401);
    }
    assert_eq!(wrong("11.1.1.1:5", "192.0.2.6").await, 429);
}
