//! Refusals: one envelope everywhere, the field at fault by name, and nothing left behind.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::gate::{Answer, Gate};
use crate::order::{Form, Order, data_url, picture};
use crate::routes;

async fn refused_body(gate: &Gate, body: impl Into<bytes::Bytes>) -> Answer {
    gate.post("/v1/videos")
        .body("application/json", body)
        .send()
        .await
}

#[tokio::test]
async fn what_is_no_json_is_told_apart_from_what_is_no_request() {
    let gate = Gate::start().await;
    let deep = |open: &str, close: &str| {
        format!(
            "{{\"model\":{}1{}}}",
            open.repeat(10_000),
            close.repeat(10_000)
        )
    };
    let bodies: [Vec<u8>; 12] = [
        b"".to_vec(),
        b"{".to_vec(),
        b"{\"model\": }".to_vec(),
        b"{\"model\": \"x\"} {}".to_vec(),
        b"{'model': 'x'}".to_vec(),
        b"{\"model\": NaN}".to_vec(),
        b"{\"model\": \"\xff\xfe\"}".to_vec(),
        b"\xef\xbb\xbf\x00".to_vec(),
        b"{\"model\": \"\\ud800\"}".to_vec(),
        deep("[", "]").into_bytes(),
        deep("{\"a\":", "}").into_bytes(),
        "[".repeat(10_000).into_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = refused_body(&gate, body).await;
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
        answer.refused(400, "invalid_json");
    }
    for body in ["[]", "null", "\"a boat\"", "17", "true"] {
        let answer = refused_body(&gate, body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(
            ["invalid_json", "validation_error"]
                .iter()
                .any(|code| answer.json()["error"] == *code),
            "{}",
            answer.text()
        );
    }
    assert_eq!(gate.video_count().await, 0);
}

#[tokio::test]
async fn a_field_said_twice_is_not_a_matter_of_taste() {
    let gate = Gate::start().await;
    let twice = r#"{"model":"filmgate/testcard","prompt":"one","prompt":"two","duration":1,"size":"320x180"}"#;
    let answer = refused_body(&gate, twice).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(gate.video_count().await, 0);
}

#[tokio::test]
async fn each_field_that_cannot_be_is_named_with_what_is_allowed() {
    let gate = Gate::start().await;
    let long = |count: usize| "x".repeat(count);
    let pairs: Value = (0..17)
        .map(|number| (number.to_string(), json!("x")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let picture = json!({"type": "image_url", "role": "first_frame", "image_url": {"url": data_url(&picture(1))}});
    let many: Vec<Value> = vec![picture.clone(); 17];
    let last: Value =
        json!([{"type": "image_url", "role": "last_frame", "image_url": picture["image_url"]}]);
    // The field, what was sent, and a word the answer has to say about what is allowed.
    let cases: [(&str, Value, &str, &str); 40] = [
        ("model", json!(""), "model", "required"),
        ("model", json!(7), "model", "string"),
        ("prompt", json!(""), "prompt", "required"),
        ("prompt", json!({}), "prompt", "string"),
        ("prompt", json!(long(32_001)), "prompt", "32000"),
        ("duration", json!(0), "duration", "1 to 120"),
        ("duration", json!(121), "duration", "1 to 120"),
        ("duration", json!(21), "duration", "1 to 20"),
        ("duration", json!(1.5), "duration", "whole"),
        ("duration", json!("long"), "duration", "whole"),
        ("duration", json!(-1), "duration", "1 to 120"),
        ("duration", json!(u64::MAX), "duration", "whole"),
        ("seconds", json!("2"), "duration", "same"),
        ("size", json!("1x1"), "size", "320x180"),
        ("size", json!("320×180"), "size", "1280x720"),
        ("size", json!("320"), "size", "1280x720"),
        ("size", json!(320), "size", "string"),
        ("resolution", json!("720p"), "resolution", "180p"),
        ("aspect_ratio", json!("9:16"), "size", "16:9"),
        ("seed", json!(-1), "seed", "0 to 4294967295"),
        ("seed", json!(4_294_967_296u64), "seed", "0 to 4294967295"),
        ("seed", json!("7"), "seed", "whole"),
        (
            "negative_prompt",
            json!("rain"),
            "negative_prompt",
            "no such parameter",
        ),
        ("generate_audio", json!("yes"), "generate_audio", "boolean"),
        (
            "enhance_prompt",
            json!(true),
            "enhance_prompt",
            "no such parameter",
        ),
        (
            "compression_quality",
            json!(101),
            "compression_quality",
            "0 to 100",
        ),
        ("sample_count", json!(0), "sample_count", "1 to 4"),
        ("sample_count", json!(5), "sample_count", "1 to 4"),
        ("metadata", pairs, "metadata", "16"),
        ("metadata", json!({"a": long(513)}), "metadata.a", "512"),
        ("metadata", json!({"a": 1}), "metadata.a", "string"),
        ("session_id", json!(long(129)), "session_id", "128"),
        ("expires_after", json!(59), "expires_after", "60 to 86400"),
        (
            "expires_after",
            json!(86_401),
            "expires_after",
            "60 to 86400",
        ),
        ("max_cost", json!("-1"), "max_cost", "not negative"),
        ("max_cost", json!("0.0000000001"), "max_cost", "9 decimals"),
        (
            "output",
            json!({"access": "ftp"}),
            "output.access",
            "signed_url",
        ),
        (
            "provider",
            json!({"sort": "mood"}),
            "provider.sort",
            "price",
        ),
        ("input_references", json!(many), "input_references", "16"),
        (
            "input_references",
            last,
            "input_references[0]",
            "first_frame",
        ),
    ];
    for (field, value, path, word) in cases {
        let order = Order::of("refused").with(field, value);
        for route in ["/v1/videos", "/v1/videos/quote"] {
            let message = gate
                .post(route)
                .json(order.body())
                .send()
                .await
                .refused_field("validation_error", path);
            assert!(
                message.contains(word),
                "{path}: {message:?} does not say {word:?}"
            );
        }
    }
    assert_eq!(gate.video_count().await, 0);
    assert_eq!(
        gate.home().assets(),
        Vec::<String>::new(),
        "a refused picture stays"
    );
    let audit = gate.stop().await.doctor().await;
    assert_eq!(
        (audit.jobs, audit.postings),
        (0, 0),
        "a refusal leaves a trace"
    );
}

#[tokio::test]
async fn what_is_for_a_later_version_is_refused_by_name_and_not_ignored() {
    let gate = Gate::start().await;
    for (field, value, path) in [
        (
            "webhook",
            json!({"endpoint_id": "we_1"}),
            "webhook.endpoint_id",
        ),
        (
            "webhook",
            json!({"url": "https://example.org/", "secret": "s"}),
            "webhook.secret",
        ),
    ] {
        let order = Order::of("later").with(field, value);
        gate.post("/v1/videos")
            .json(order.body())
            .send()
            .await
            .refused_field("not_supported", path);
    }
    assert_eq!(gate.video_count().await, 0);
}

#[tokio::test]
async fn unknown_fields_are_refused_by_name_and_unknown_parameters_ignored() {
    let gate = Gate::start().await;
    for (field, value, path) in [
        ("promt", json!("a boat"), "promt"),
        ("Prompt", json!("a boat"), "Prompt"),
        ("provider", json!({"olny": ["x"]}), "provider.olny"),
        ("output", json!({"acces": "both"}), "output.acces"),
        ("provider_params", json!({"fps": 24}), "provider_params.fps"),
        (
            "provider_params",
            json!({"simulate": {"colour": 1}}),
            "provider_params.simulate.colour",
        ),
        (
            "provider_params",
            json!({"simulate": {"render_seconds": "1"}}),
            "provider_params.simulate.render_seconds",
        ),
        (
            "provider_params",
            json!({"simulate": {"Aspect-Ratio": "1:1"}}),
            "provider_params.simulate.Aspect-Ratio",
        ),
    ] {
        let order = Order::of("refused").with(field, value);
        let answer = gate.post("/v1/videos").json(order.body()).send().await;
        let body = answer.refused(400, "validation_error");
        let named = body["details"]
            .as_array()
            .unwrap()
            .iter()
            .any(|detail| detail["path"] == path);
        assert!(named, "{path} is not named: {body:#}");
    }
    assert_eq!(gate.video_count().await, 0);
    gate.get("/v1/videos?colour=blue").send().await.expect(200);
    let taken = gate
        .post("/v1/videos?colour=blue")
        .json(Order::of("taken").body())
        .send()
        .await;
    taken.expect(202);
}

#[tokio::test]
async fn several_faults_are_told_at_once() {
    let gate = Gate::start().await;
    let order = Order::of("refused")
        .with("duration", 21)
        .with("seed", -1)
        .with("size", "1x1")
        .with("negative_prompt", "rain");
    let body = gate
        .post("/v1/videos")
        .json(order.body())
        .send()
        .await
        .refused(400, "validation_error");
    let paths: Vec<&str> = body["details"]
        .as_array()
        .unwrap()
        .iter()
        .map(|detail| detail["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["duration", "size", "seed", "negative_prompt"]);
}

#[tokio::test]
async fn where_notices_go_is_checked_and_kept() {
    let gate = Gate::start().await;
    for url in [
        "http://example.org/",
        "https://127.0.0.1/",
        "https://localhost/",
        "https://10.0.0.1/x",
        "https://[::1]/",
        "ftp://example.org/",
        "nonsense",
    ] {
        let by_callback = Order::of("refused").with("callback_url", url);
        gate.post("/v1/videos")
            .json(by_callback.body())
            .send()
            .await
            .refused_field("validation_error", "callback_url");
        let by_webhook = Order::of("refused").with("webhook", json!({"url": url}));
        gate.post("/v1/videos")
            .json(by_webhook.body())
            .send()
            .await
            .refused_field("validation_error", "webhook.url");
    }
    let both = Order::of("refused")
        .with("callback_url", "https://example.org/a")
        .with("webhook", json!({"url": "https://example.org/b"}));
    gate.post("/v1/videos")
        .json(both.body())
        .send()
        .await
        .refused_field("validation_error", "webhook.url");
    assert_eq!(gate.video_count().await, 0);
    let taken = gate
        .create(&Order::of("taken").with("callback_url", "https://example.org/a"))
        .await;
    assert_eq!(taken["webhook"], json!({"state": "not_sent"}));
}

#[tokio::test]
async fn a_route_that_is_not_there_is_not_found() {
    let gate = Gate::start().await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/videos",
        "/v1/videos/",
        "/v1/video",
        "/nonsense",
        "/v1/videos/a/b/c",
        "/%00",
        "/v1/videos/%ff",
    ] {
        for key in [true, false] {
            let call = gate.get(path);
            let answer = if key { call } else { call.anonymous() }.send().await;
            assert!(
                answer.status == 404 || (answer.status == 401 && !key),
                "{path}: {}",
                answer.status
            );
            answer.refused(
                answer.status,
                if answer.status == 404 {
                    "not_found"
                } else {
                    "unauthorised"
                },
            );
        }
    }
    // What a later version brings is not there yet.
    for path in [
        "/v1/files",
        "/v1/webhook-endpoints",
        "/openai/v1/videos",
        "/api/v1/videos",
    ] {
        gate.get(path).send().await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn a_method_a_route_does_not_take_is_told_which_it_takes() {
    let gate = Gate::start().await;
    let routes = routes::published(&gate).await;
    let id = format!("video_{}", "0".repeat(26));
    for path in routes
        .iter()
        .map(|route| route.path.clone())
        .collect::<std::collections::BTreeSet<_>>()
    {
        let taken: Vec<&Method> = routes
            .iter()
            .filter(|route| route.path == path)
            .map(|route| &route.method)
            .collect();
        for method in [
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
            Method::POST,
            Method::GET,
        ] {
            if taken.contains(&&method) {
                continue;
            }
            let route = routes::Route {
                method: method.clone(),
                path: path.clone(),
                secured: true,
            };
            let answer = gate.call(method.clone(), &route.at(&id)).send().await;
            answer.refused(405, "method_not_allowed");
            let allow = answer.header("allow");
            for method in &taken {
                assert!(
                    allow
                        .split(',')
                        .any(|allowed| allowed.trim() == method.as_str()),
                    "{path} allows {allow}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_body_of_another_kind_is_refused() {
    let gate = Gate::start().await;
    let body = Order::of("refused").body().to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "nonsense",
        "video/mp4",
    ] {
        gate.post("/v1/videos")
            .body(kind, body.clone())
            .send()
            .await
            .refused(415, "unsupported_media_type");
    }
    gate.post("/v1/keys")
        .body(&Form::content_type(), Form::new().finish())
        .send()
        .await
        .refused(415, "unsupported_media_type");
    assert_eq!(gate.video_count().await, 0);
    for kind in [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/vnd.x+json",
    ] {
        gate.post("/v1/videos")
            .body(kind, body.clone())
            .send()
            .await
            .expect(202);
    }
}

#[tokio::test]
async fn a_body_beyond_its_limit_is_refused() {
    let gate =
        Gate::configured("[server]\ncreate_body_bytes = 200000\njson_body_bytes = 20000").await;
    let padded =
        |bytes: usize| Order::of("padded").with("metadata", json!({"a": "x".repeat(bytes)}));
    // A JSON create has the small limit, its data: URLs the large one.
    gate.post("/v1/videos")
        .json(padded(20_000).body())
        .header("connection", "close")
        .send()
        .await
        .refused(413, "payload_too_large");
    gate.post("/v1/videos")
        .json(padded(300_000).body())
        .header("connection", "close")
        .send()
        .await
        .refused(413, "payload_too_large");
    gate.post("/v1/keys")
        .json(&json!({"name": "x".repeat(20_000)}))
        .header("connection", "close")
        .send()
        .await
        .refused(413, "payload_too_large");
    let noise: Vec<u8> = picture(1)
        .into_iter()
        .chain(std::iter::repeat_n(7, 60_000))
        .collect();
    let large = Order::of("a large picture").with("input_reference", data_url(&noise));
    gate.post("/v1/videos/quote")
        .json(large.body())
        .send()
        .await
        .expect(200);
    let larger: Vec<u8> = picture(1)
        .into_iter()
        .chain(std::iter::repeat_n(7, 200_000))
        .collect();
    let form = |bytes: &[u8]| {
        Form::new()
            .text("model", "testcard")
            .text("prompt", "x")
            .file("input_reference", "x.png", "image/png", bytes)
            .finish()
    };
    gate.post("/v1/videos/quote")
        .body(&Form::content_type(), form(&noise))
        .send()
        .await
        .expect(200);
    gate.post("/v1/videos/quote")
        .body(&Form::content_type(), form(&larger))
        .header("connection", "close")
        .send()
        .await
        .refused(413, "payload_too_large");
    assert_eq!(gate.video_count().await, 0);
}

#[tokio::test]
async fn a_refusal_before_the_body_was_read_does_not_spoil_the_connection_unannounced() {
    let gate = Gate::configured("[server]\njson_body_bytes = 20000").await;
    let host = gate.address.strip_prefix("http://").unwrap();
    let bearer = format!("Bearer {}", gate.key);
    let kind = "application/json";
    let cases = [
        ("/v1/keys", bearer.as_str(), kind, "413"),
        ("/v1/videos", &bearer, kind, "413"),
        ("/v1/videos", "Bearer nonsense", kind, "401"),
        ("/v1/videos", &bearer, "text/plain", "415"),
        ("/v1/nonsense", &bearer, kind, "404"),
    ];
    for (path, authorization, kind, status) in cases {
        let body = json!({"name": "x".repeat(300_000)}).to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut connection = BufReader::new(TcpStream::connect(host).await.unwrap());
        connection.write_all(request.as_bytes()).await.unwrap();
        let refused = read_answer(&mut connection).await;
        assert_eq!(refused.split(' ').nth(1), Some(status), "{path}: {refused}");
        if refused
            .to_ascii_lowercase()
            .contains("\r\nconnection: close\r\n")
        {
            continue;
        }
        // Nobody was told to open another connection, so this one serves on.
        let next = format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n");
        connection.write_all(next.as_bytes()).await.unwrap();
        let next = read_answer(&mut connection).await;
        assert_eq!(
            next.split(' ').nth(1),
            Some("200"),
            "after {status} of {path}: {next:?}"
        );
    }
}

/// One answer of a connection that may carry more; nothing where it was hung up.
async fn read_answer(connection: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match connection.read_line(&mut head).await {
            Ok(read) if read > 0 => {}
            Ok(_) | Err(_) => return head,
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    connection.read_exact(&mut body).await.unwrap();
    head
}

#[tokio::test]
async fn a_form_that_cannot_be_read_is_refused() {
    let gate = Gate::start().await;
    let good = || Form::new().text("model", "testcard").text("prompt", "x");
    let kind = Form::content_type();
    let cases: [(&str, Vec<u8>); 7] = [
        (&kind, good().text("prompt", "again").finish()),
        (&kind, good().text("banana", "1").finish()),
        (&kind, good().text("provider_params", "{").finish()),
        (
            &kind,
            good().file("prompt", "x.txt", "text/plain", b"x").finish(),
        ),
        (
            &kind,
            good()
                .file("input_reference", "x.png", "image/png", b"no picture")
                .finish(),
        ),
        (&kind, b"--nonsense".to_vec()),
        ("multipart/form-data", good().finish()),
    ];
    for (kind, body) in cases {
        let shown = String::from_utf8_lossy(&body).into_owned();
        let answer = gate.post("/v1/videos").body(kind, body).send().await;
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
        answer.refused(400, "validation_error");
    }
    assert_eq!(gate.video_count().await, 0);
}

#[tokio::test]
async fn what_is_hardly_http_is_answered_or_hung_up_on_and_harms_nobody() {
    let gate = Gate::start().await;
    let host = gate.address.strip_prefix("http://").unwrap();
    let request = |head: String| [head.as_bytes(), b"\r\n\r\n"].concat();
    let key = &gate.key;
    let messages = [
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        request(format!("GET / HTTP/1.1\r\nHost: {host}\r\nHost: other")),
        request(format!("POST /v1/videos HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Length: nonsense")),
        request(format!("POST /v1/videos HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Length: 99\r\nTransfer-Encoding: chunked")),
        request(format!("GET /v1/videos HTTP/1.1\r\nHost: {host}\r\nX-Long: {}", "x".repeat(1 << 20))),
        // Announces more than it sends, and goes away.
        [request(format!("POST /v1/videos HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Length: 500")), b"{\"model\"".to_vec()].concat(),
    ];
    for message in messages {
        let mut connection = TcpStream::connect(host).await.unwrap();
        // The gateway may hang up before all is sent.
        connection.write_all(&message).await.ok();
        connection.shutdown().await.ok();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.ok();
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or("hung up");
        assert!(status == "hung up" || status.starts_with('4'), "{answer}");
    }
    assert_eq!(gate.video_count().await, 0);
    gate.get("/ready").anonymous().send().await.expect(200);
    assert!(!gate.home().log().contains("panicked"));
}

#[tokio::test]
async fn a_provider_nobody_has_leaves_nobody_to_ask() {
    let gate = Gate::start().await;
    for provider in [
        json!({"only": ["nobody"]}),
        json!({"ignore": ["testcard"]}),
        json!({"max_price": "0.001"}),
    ] {
        let order = Order::of("unroutable").with("provider", provider);
        let refused = gate.post("/v1/videos").json(order.body()).send().await;
        let body = refused.refused(400, "unsupported_model_or_endpoint");
        let named = body["details"][0]["message"].as_str().unwrap();
        assert!(named.starts_with("testcard: "), "{body:#}");
    }
    let off = Gate::configured("[providers.testcard]\nenabled = false").await;
    let refused = off
        .post("/v1/videos")
        .json(Order::of("unroutable").body())
        .send()
        .await;
    refused.refused(400, "unsupported_model_or_endpoint");
    let models = off.get("/v1/videos/models").send().await.expect(200).json();
    assert_eq!(models["data"][0]["providers"][0]["available"], false);
    assert_eq!(gate.video_count().await + off.video_count().await, 0);
}

#[tokio::test]
async fn a_host_that_could_mislead_is_never_shown() {
    let gate = Gate::start().await;
    for host in [
        "user@evil.example",
        "evil.example/path",
        "a?x=",
        "a#b",
        "\"><script>",
    ] {
        let order = Order::of("misled").endless();
        let answer = gate
            .post("/v1/videos")
            .json(order.body())
            .header("host", host)
            .send()
            .await;
        if answer.status == 202 {
            let url = answer.json()["polling_url"].as_str().unwrap().to_owned();
            let origin = gate.address.as_str();
            assert!(
                url.starts_with(&format!("{origin}/v1/videos/")),
                "{host:?} makes it {url}"
            );
        } else {
            answer.refused(400, "validation_error");
        }
    }
}

#[tokio::test]
async fn pages_of_other_origins_get_in_where_the_operator_named_them() {
    let named = "https://studio.example";
    let gate = Gate::configured(&format!("[server]\ncors_origins = [\"{named}\"]")).await;
    let preflight = |origin: &str| {
        gate.call(Method::OPTIONS, "/v1/videos")
            .anonymous()
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type,idempotency-key",
            )
            .send()
    };
    let allowed = preflight(named).await.expect(200);
    assert_eq!(allowed.header("access-control-allow-origin"), named);
    assert!(
        allowed
            .header("access-control-allow-methods")
            .contains("POST")
    );
    assert!(
        allowed
            .header("access-control-allow-headers")
            .contains("authorization")
    );
    let stranger = preflight("https://evil.example").await;
    assert_eq!(stranger.find_header("access-control-allow-origin"), None);
    // Refusals, too, can be read by the page that was let in.
    let refused = gate
        .get("/v1/videos")
        .anonymous()
        .header("origin", named)
        .send()
        .await;
    refused.refused(401, "unauthorised");
    assert_eq!(refused.header("access-control-allow-origin"), named);
    // Where nobody is named, nobody gets in.
    let closed = Gate::start().await;
    let answer = closed
        .get("/v1/videos")
        .header("origin", named)
        .send()
        .await
        .expect(200);
    assert_eq!(answer.find_header("access-control-allow-origin"), None);
}
