//! A client of an emulator under test.

use std::time::Duration;

use filmgate_core::time::UnixTime;
use filmgate_upstreams::JobRecord;
use filmgate_upstreams::clock::Clock;
use filmgate_upstreams::emulator::Settings;
use filmgate_upstreams::films::Supply;
use filmgate_upstreams::openai_compatible::{Config, Emulator, Flavour, Running};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A small film.
pub(crate) const SIZE: &str = "320x180";

/// A running emulator and its only client.
pub(crate) struct Bench {
    pub(crate) upstream: Running,
    http: reqwest::Client,
    key: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// A server whose clock stands; a job takes ten seconds.
pub(crate) fn standing(flavour: Flavour) -> Config {
    Config {
        flavour,
        settings: Settings {
            render: Duration::from_secs(10),
            clock: Clock::standing_at(UnixTime::from_seconds(1_790_000_000)),
            supply: Supply::AsOrdered,
            ..Settings::default()
        },
        ..Config::default()
    }
}

impl Bench {
    pub(crate) async fn start(config: Config) -> Self {
        // Every test wants it, and the second one finds it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let key = config.api_key.clone();
        let upstream = Emulator::start(config).await.unwrap();
        Self {
            upstream,
            http: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            key,
        }
    }

    pub(crate) async fn of(flavour: Flavour) -> Self {
        Self::start(standing(flavour)).await
    }

    pub(crate) fn emulator(&self) -> &Emulator {
        &self.upstream.emulator
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.emulator()
            .clock()
            .advance(Duration::from_secs(seconds));
    }

    /// A request to a path below `/v1`.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.stranger(method, path, self.key.as_deref())
    }

    /// A request with another key, or with none.
    pub(crate) fn stranger(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
    ) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.upstream.base_url);
        let request = self.http.request(method, url);
        match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// A request of the emulator itself.
    pub(crate) fn control(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}/_emulator{path}", self.upstream.origin);
        self.http.request(method, url)
    }

    pub(crate) fn form(&self, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let form = fields
            .iter()
            .fold(reqwest::multipart::Form::new(), |form, (name, value)| {
                form.text((*name).to_owned(), (*value).to_owned())
            });
        self.request(Method::POST, "/videos").multipart(form)
    }

    /// A create of one second.
    pub(crate) async fn submit(&self, prompt: &str) -> reqwest::Result<Answer> {
        let fields = [("prompt", prompt), ("seconds", "1"), ("size", SIZE)];
        Answer::read(self.form(&fields)).await
    }

    /// The id of a new job.
    pub(crate) async fn create(&self, prompt: &str) -> String {
        self.submit(prompt).await.unwrap().expect(200).id()
    }

    /// The id of a job that has come to its end.
    pub(crate) async fn ended(&self, prompt: &str) -> String {
        let id = self.create(prompt).await;
        self.advance(10);
        id
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Result<Answer> {
        Answer::read(self.request(Method::GET, path)).await
    }

    pub(crate) async fn poll(&self, id: &str) -> reqwest::Result<Answer> {
        self.get(&format!("/videos/{}", escaped(id))).await
    }

    pub(crate) async fn content(&self, id: &str) -> reqwest::Result<Answer> {
        self.get(&format!("/videos/{}/content", escaped(id))).await
    }

    pub(crate) async fn delete(&self, id: &str) -> reqwest::Result<Answer> {
        let path = format!("/videos/{}", escaped(id));
        Answer::read(self.request(Method::DELETE, &path)).await
    }

    /// The only job of a prompt.
    pub(crate) fn record(&self, prompt: &str) -> JobRecord {
        let jobs = self.emulator().jobs_of(prompt);
        let [job] = jobs.as_slice() else {
            panic!("{} jobs were made of {prompt:?}", jobs.len());
        };
        job.clone()
    }

    /// Whatever comes back over a plain connection until it is closed.
    pub(crate) async fn raw(&self, request: &str) -> Vec<u8> {
        let address = self.upstream.origin.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        socket.read_to_end(&mut heard).await.unwrap();
        heard
    }

    /// A create over a plain connection.
    pub(crate) async fn raw_submit(&self, prompt: &str) -> Vec<u8> {
        let body = json!({"prompt": prompt, "seconds": 1, "size": SIZE}).to_string();
        self.raw(&format!(
            "POST /v1/videos HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    /// A head of lower-case lines and a body, as a plain connection brings them.
    pub(crate) async fn raw_get(&self, path: &str) -> (String, Vec<u8>) {
        let heard = self
            .raw(&format!(
                "GET /v1{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            ))
            .await;
        let end = heard
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("there is a head");
        let head = String::from_utf8(heard[..end].to_vec()).unwrap();
        (head.to_ascii_lowercase(), heard[end + 4..].to_vec())
    }
}

impl Answer {
    pub(crate) async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Self> {
        let answer = request.send().await?;
        Ok(Self {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.bytes().await?.to_vec(),
        })
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// An id as it stands in a path.
pub(crate) fn escaped(id: &str) -> String {
    id.replace('%', "%25")
        .replace('/', "%2F")
        .replace('+', "%2B")
        .replace('=', "%3D")
}
