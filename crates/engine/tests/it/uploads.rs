//! A provider that has its inputs uploaded to an address which its answer names.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use filmgate_catalogue::{AudioMode, Declared, DeclaredDurations, DeclaredSeed};
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::job::Status;
use filmgate_core::provider::{
    Body, CancelOutcome, Conversation, Credential, NativeId, Observation, Order, Part, Protocol,
    Provider, Recovered, Repeat, Secret, Step, SubmitRepeat, Submitted, Talk, Token, done,
};
use filmgate_core::request::{ModelId, ProviderName};
use filmgate_engine::{Account, Line, Network, Outside};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use crate::house::House;
use crate::network::{Seen, Server};

const KEY: &str = "sk-uploads";

struct Uploading {
    name: ProviderName,
    base: Url,
}

/// Asks where to, sends there with everything it has, and buys with what came back.
struct Submit {
    base: Url,
    proof: HeaderMap,
    step: u32,
}

impl Submit {
    fn message(&self, method: Method, url: &str, body: Body) -> Step<Submitted> {
        let mut message = http::Request::builder()
            .method(method)
            .uri(url)
            .body(body)
            .unwrap();
        let headers = message.headers_mut();
        headers.extend(self.proof.clone());
        for (name, value) in [
            (header::AUTHORIZATION, "Basic c2VjcmV0"),
            (header::PROXY_AUTHORIZATION, "Basic c2VjcmV0"),
            (header::COOKIE, "session=secret"),
            (header::CONTENT_TYPE, "image/png"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Step::Send {
            message,
            repeat: Repeat::MayBuyTwice,
        }
    }
}

impl Conversation<Submitted> for Submit {
    fn next(&mut self, answer: Option<http::Response<Bytes>>) -> Step<Submitted> {
        self.step += 1;
        let at = |path: &str| self.base.join(path).unwrap().to_string();
        match (self.step, answer) {
            (1, _) => self.message(Method::POST, &at("/tickets"), Body::empty()),
            (2, Some(ticket)) => {
                let ticket: Value = serde_json::from_slice(ticket.body()).unwrap();
                let body = Body(vec![Part::Bytes(Bytes::from_static(b"the picture"))]);
                self.message(Method::PUT, ticket["target"].as_str().unwrap(), body)
            }
            (3, Some(uploaded)) if uploaded.status().is_success() => {
                self.message(Method::POST, &at("/jobs"), Body::empty())
            }
            (3, Some(refused)) => Step::Failed(Failure::permanent(
                FailureCode::ProviderError,
                format!("the upload was answered {}", refused.status().as_u16()),
            )),
            _ => Step::Done(Submitted {
                native: NativeId("n1".into()),
            }),
        }
    }
}

impl Provider for Uploading {
    fn name(&self) -> &ProviderName {
        &self.name
    }

    fn protocol(&self) -> Protocol {
        Protocol {
            submit_repeat: SubmitRepeat::Never,
            can_cancel: false,
            calls_back: false,
        }
    }

    fn proof(&self, token: &Token) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(token.secret.expose()).unwrap();
        headers.insert("x-vendor-key", value);
        headers
    }

    fn submit(&self, _order: &Order, token: &Token) -> Talk<Submitted> {
        Box::new(Submit {
            base: self.base.clone(),
            proof: self.proof(token),
            step: 0,
        })
    }

    fn recover(&self, _order: &Order, _token: &Token) -> Talk<Recovered> {
        done(Recovered::Unknown)
    }

    fn poll(&self, _order: &Order, _native: &NativeId, _token: &Token) -> Talk<Observation> {
        done(Observation::Running { progress: None })
    }

    fn cancel(&self, _order: &Order, _native: &NativeId, _token: &Token) -> Talk<CancelOutcome> {
        done(CancelOutcome::Unsupported)
    }
}

async fn house_at(address: SocketAddr, opened: &[&str]) -> House {
    // Another test of this process may have done it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let base: Url = format!("http://{address}").parse().unwrap();
    let name = ProviderName("uploading".into());
    let opened = opened.iter().map(|text| text.parse().unwrap()).collect();
    let provider = Uploading {
        name: name.clone(),
        base: base.clone(),
    };
    let account = Account::new(
        Arc::new(provider),
        Line::Network(Network::to(&base, Outside::new(opened).unwrap()).unwrap()),
        Credential {
            secret: Secret::new(KEY),
        },
        Duration::from_secs(1),
    );
    let declared = Declared {
        id: "local/up".into(),
        name: None,
        provider: name,
        native_model: "up".into(),
        durations: DeclaredDurations::Listed(vec![1]),
        sizes: vec![FrameSize::new(320, 180)],
        audio: AudioMode::Never,
        seed: DeclaredSeed::default(),
        negative_prompt: false,
        first_frame: false,
        max_samples: 1,
        passthrough: Vec::new(),
        prices: Vec::new(),
    };
    House::over(account, declared).await
}

fn tickets(target: String) -> impl Fn(&Seen) -> Response + Send + Sync + 'static {
    move |_| Json(json!({"target": target})).into_response()
}

/// What the first attempt came to, where it came to nothing.
async fn submitted(house: &House) -> Result<(), Failure> {
    let id = house
        .create_as(|request| request.model = ModelId("local/up".into()))
        .await;
    house.settle().await;
    let attempt = house.store.attempts(id).await.unwrap().remove(0);
    match attempt.failure {
        Some(failure) => Err(failure),
        None => {
            assert_eq!(house.job(id).await.life.status(), Status::Processing);
            Ok(())
        }
    }
}

#[tokio::test]
async fn an_upload_goes_where_the_answer_says_and_proves_nothing_there() {
    let storage = Server::answering(|_| StatusCode::CREATED.into_response()).await;
    let target = format!("http://{}/put?sig=x", storage.address);
    let vendor = Server::answering(tickets(target)).await;
    let house = house_at(vendor.address, &["127.0.0.1"]).await;
    submitted(&house).await.unwrap();
    let [upload] = &storage.seen()[..] else {
        panic!("it was sent once")
    };
    assert_eq!(
        (&upload.method, upload.path.as_str(), &upload.body[..]),
        (&Method::PUT, "/put", &b"the picture"[..])
    );
    assert_eq!(upload.headers["content-type"], "image/png");
    for name in [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-vendor-key",
    ] {
        assert_eq!(upload.headers.get(name), None, "{name}");
    }
    let own = vendor.seen();
    let paths: Vec<&str> = own.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["/tickets", "/jobs"]);
    assert!(own.iter().all(|one| one.headers["x-vendor-key"] == KEY));
}

#[tokio::test]
async fn an_upload_is_not_sent_to_what_is_not_opened() {
    let inside = Server::answering(|_| StatusCode::CREATED.into_response()).await;
    let port = inside.address.port();
    for target in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        format!("https://2130706433:{port}/"),
        format!("http://u:p@127.0.0.2:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ] {
        let vendor = Server::answering(tickets(target.clone())).await;
        let house = house_at(vendor.address, &["127.0.0.2"]).await;
        let failure = submitted(&house).await.unwrap_err();
        assert!(
            failure.message.contains("may not be asked"),
            "{target}: {}",
            failure.message
        );
        assert!(!failure.ambiguous, "{target} was never sent to");
    }
    assert!(inside.seen().is_empty(), "it was sent to");
}

#[tokio::test]
async fn no_body_follows_a_redirect_and_an_answer_is_read_so_far() {
    let elsewhere = Server::answering(|_| StatusCode::CREATED.into_response()).await;
    let location = format!("http://{}/", elsewhere.address);
    let storage = Server::answering(move |seen| match seen.path.as_str() {
        "/large" => " ".repeat(9 << 20).into_response(),
        _ => {
            let to = [(header::LOCATION, location.clone())];
            (StatusCode::TEMPORARY_REDIRECT, to).into_response()
        }
    })
    .await;
    for (path, told) in [("moved", "answered 307"), ("large", "was lost")] {
        let target = format!("http://{}/{path}", storage.address);
        let vendor = Server::answering(tickets(target)).await;
        let house = house_at(vendor.address, &["127.0.0.1"]).await;
        let failure = submitted(&house).await.unwrap_err();
        assert!(failure.message.contains(told), "{}", failure.message);
    }
    assert!(elsewhere.seen().is_empty(), "the body followed");
}
