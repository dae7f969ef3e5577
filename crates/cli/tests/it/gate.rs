//! A gateway under test: the binary itself, in a directory of its own, on a free loopback port.
//!
//! [`Home`] is what outlives a process: the data directory, the configuration, the first key. [`Gate`] is a
//! process that serves it. A gate ends with the test that started it, whatever becomes of the test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::order::Order;
use crate::status_object;

const BINARY: &str = env!("CARGO_BIN_EXE_filmgate");

/// Nothing here takes so long; a gateway that hangs fails the test instead of hanging it too.
const PATIENCE: Duration = Duration::from_secs(120);
/// Waits of a minute after which a video that is still as it was stands still: a provider that fails is left alone for minutes.
const MOST_UNCHANGED: u32 = 5;

/// A data directory with the configuration that is served from it.
pub(crate) struct Home {
    directory: TempDir,
    configuration: String,
    environment: Vec<(String, String)>,
    first_key: Option<String>,
}

/// A running gateway.
pub(crate) struct Gate {
    home: Option<Home>,
    process: Child,
    http: reqwest::Client,
    pub(crate) address: String,
    /// The first key: an admin's.
    pub(crate) key: String,
}

/// Where a gateway is asked, for whoever does not hold the gateway: it may be gone.
#[derive(Clone)]
pub(crate) struct Door {
    http: reqwest::Client,
    address: String,
    key: String,
}

/// A request to be sent.
pub(crate) struct Call {
    http: reqwest::Client,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            configuration: String::new(),
            environment: Vec::new(),
            first_key: None,
        }
    }

    /// Lines of `filmgate.toml`.
    pub(crate) fn configured(mut self, lines: &str) -> Self {
        writeln!(self.configuration, "{lines}").unwrap();
        self
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The working directory of every process of this home.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Files below the asset store, relative to it, sorted.
    pub(crate) fn assets(&self) -> Vec<String> {
        files_below(&self.data().join("assets"))
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("gateway.log")).unwrap_or_default()
    }

    /// The binary, told where its data is and nothing else.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        std::fs::write(self.path().join("filmgate.toml"), &self.configuration).unwrap();
        let mut command = Command::new(BINARY);
        command
            .env_clear()
            .env("FILMGATE_ENGINE__PROVIDERS_FROM_ENVIRONMENT", "false")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path())
            .arg("--data")
            .arg(self.data())
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Done {
        Done::of(self.command(arguments)).await
    }

    pub(crate) async fn start(self) -> Gate {
        let gate = self.start_keyless().await;
        assert_ne!(gate.key, "", "this home has a first key");
        gate
    }

    /// As one of several that start on an empty store: at most one shows a key, which the others have to be told.
    pub(crate) async fn start_keyless(mut self) -> Gate {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path().join("gateway.log"));
        let mut process = self
            .command(&["--json", "serve", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let mut told = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut told).await.unwrap();
        let told: Value = serde_json::from_str(&told)
            .unwrap_or_else(|_| panic!("the gateway did not start:\n{}", self.log()));
        if let Some(key) = told["key"].as_str() {
            self.first_key = Some(key.to_owned());
        }
        let key = self.first_key.clone().unwrap_or_default();
        Gate {
            http: client(),
            address: told["address"].as_str().unwrap().to_owned(),
            key,
            process,
            home: Some(self),
        }
    }

    /// The first key is this one, and not one the gateway makes.
    pub(crate) fn with_first_key(mut self, key: &str) -> Self {
        self.first_key = Some(key.to_owned());
        self.environment("FILMGATE_BOOTSTRAP_KEY", key)
    }

    /// What `doctor` finds, which must be sound.
    pub(crate) async fn doctor(&self) -> Audit {
        let done = self.run(&["--json", "doctor"]).await;
        let report: Value = serde_json::from_str(&done.out)
            .unwrap_or_else(|_| panic!("doctor says no JSON: {done:?}"));
        assert_eq!(
            (report["sound"].as_bool(), done.code),
            (Some(true), Some(0)),
            "{report:#}"
        );
        let findings = report["findings"].as_array().unwrap();
        let store = findings.iter().find(|finding| finding["what"] == "store");
        Audit::read(store.unwrap()["detail"].as_str().unwrap())
    }
}

/// The counts `doctor` tells of the store.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Audit {
    pub(crate) jobs: u64,
    pub(crate) under_way: u64,
    pub(crate) postings: u64,
    pub(crate) unbalanced: u64,
    pub(crate) holds_open: u64,
    pub(crate) holds_closed_twice: u64,
    pub(crate) balances_wrong: u64,
    pub(crate) standings_wrong: u64,
    pub(crate) activity_wrong: u64,
}

impl Audit {
    /// Reads "9 jobs, 0 of them under way; 30 postings, …": the numbers, in their order.
    fn read(detail: &str) -> Self {
        let numbers: Vec<u64> = detail
            .split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|digits| digits.parse().ok())
            .collect();
        let [
            jobs,
            under_way,
            postings,
            unbalanced,
            holds_open,
            holds_closed_twice,
            balances_wrong,
            standings_wrong,
            activity_wrong,
        ] = numbers[..]
        else {
            panic!("doctor tells other numbers now: {detail}");
        };
        Self {
            jobs,
            under_way,
            postings,
            unbalanced,
            holds_open,
            holds_closed_twice,
            balances_wrong,
            standings_wrong,
            activity_wrong,
        }
    }

    /// Every hold is closed once and every sum is right.
    #[track_caller]
    pub(crate) fn is_closed_and_balanced(&self) {
        let faults = (
            self.unbalanced,
            self.holds_open,
            self.holds_closed_twice,
            self.balances_wrong,
            self.standings_wrong,
            self.activity_wrong,
        );
        assert_eq!(faults, (0, 0, 0, 0, 0, 0), "{self:?}");
    }
}

impl Gate {
    pub(crate) async fn start() -> Self {
        Home::new().start().await
    }

    /// A gateway with these lines in its `filmgate.toml`.
    pub(crate) async fn configured(lines: &str) -> Self {
        Home::new().configured(lines).start().await
    }

    pub(crate) fn home(&self) -> &Home {
        self.home.as_ref().expect("a running gateway has its home")
    }

    /// Ends it as an init system would, and expects it to obey.
    pub(crate) async fn stop(mut self) -> Home {
        self.signal("TERM").await;
        let ended = self.process.wait().await.unwrap();
        assert!(
            ended.success(),
            "the gateway ended with {ended}:\n{}",
            self.home().log()
        );
        self.home.take().expect("a running gateway has its home")
    }

    /// Pulls the plug.
    pub(crate) async fn kill(mut self) -> Home {
        self.process.kill().await.unwrap();
        self.home.take().expect("a running gateway has its home")
    }

    /// Stops it and starts another one on the same directory.
    pub(crate) async fn restart(self) -> Self {
        self.stop().await.start().await
    }

    async fn signal(&self, name: &str) {
        let id = self.process.id().expect("the gateway runs").to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &id])
            .status()
            .await;
        assert!(sent.unwrap().success(), "the signal was not sent");
    }

    /// The binary as a client of this gateway.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Done {
        let mut command = self.home().command(arguments);
        command
            .env("FILMGATE_URL", &self.address)
            .env("FILMGATE_KEY", &self.key);
        Done::of(command).await
    }

    // HTTP.

    pub(crate) fn door(&self) -> Door {
        Door {
            http: self.http.clone(),
            address: self.address.clone(),
            key: self.key.clone(),
        }
    }

    /// As [`Door::call`].
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        self.door().call(method, path)
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }

    // Videos.

    /// Orders a video: a 202, and the status object as it was then.
    pub(crate) async fn create(&self, order: &Order) -> Value {
        let answer = self
            .post("/v1/videos")
            .json(order.body())
            .send()
            .await
            .expect(202);
        status_object::whole(answer.json())
    }

    /// Orders a video and waits for its end, whatever that is.
    pub(crate) async fn run_to_end(&self, order: &Order) -> Value {
        let made = self.create(order).await;
        self.wait_terminal(id_of(&made)).await
    }

    /// Orders a video that is to succeed.
    pub(crate) async fn completed(&self, order: &Order) -> Value {
        let video = self.run_to_end(order).await;
        assert_eq!(video["status"], "completed", "{video:#}");
        video
    }

    /// The status object now.
    pub(crate) async fn status(&self, id: &str) -> Value {
        let answer = self
            .get(&format!("/v1/videos/{id}"))
            .send()
            .await
            .expect(200);
        status_object::whole(answer.json())
    }

    /// Waits until the video is terminal.
    pub(crate) async fn wait_terminal(&self, id: &str) -> Value {
        self.wait_until(id, is_terminal).await
    }

    /// Waits, change by change, until the status object is as wanted. Every one on the way is checked, and so
    /// is what may never happen between two of them.
    pub(crate) async fn wait_until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/v1/videos/{id}?wait=60");
        let mut answer = self
            .get(&format!("/v1/videos/{id}"))
            .send()
            .await
            .expect(200);
        let mut seen = status_object::whole(answer.json());
        let mut unchanged = 0;
        while !wanted(&seen) {
            assert!(
                !is_terminal(&seen),
                "the video ended otherwise: {seen:#}\n{}",
                self.home().log()
            );
            let next = self
                .get(&path)
                .header("if-none-match", answer.header("etag"))
                .send()
                .await;
            if next.status == 304 {
                unchanged += 1;
                assert!(
                    unchanged < MOST_UNCHANGED,
                    "nothing changes any more: {seen:#}\n{}",
                    self.home().log()
                );
                continue;
            }
            unchanged = 0;
            answer = next.expect(200);
            let later = status_object::whole(answer.json());
            status_object::follows(&seen, &later);
            seen = later;
        }
        seen
    }

    /// Waits until a provider has the job.
    pub(crate) async fn wait_processing(&self, id: &str) -> Value {
        self.wait_until(id, |video| video["status"] == "processing")
            .await
    }

    /// Waits until the money of a video that has ended is known.
    pub(crate) async fn wait_settled(&self, id: &str) -> Value {
        let path = format!("/v1/videos/{id}");
        let mut answer = self.get(&path).send().await.expect(200);
        loop {
            let video = status_object::whole(answer.json());
            if ["settled", "void"].contains(&video["billing"]["state"].as_str().unwrap()) {
                return video;
            }
            let next = self
                .get(&format!("{path}?wait=60"))
                .header("if-none-match", answer.header("etag"));
            answer = next.send().await.expect(200);
        }
    }

    /// Waits until the log says `words`, for what no answer tells. In between, the gateway is asked how it is.
    pub(crate) async fn wait_logged(&self, words: &str) {
        let said = async {
            while !self.home().log().contains(words) {
                self.get("/health").anonymous().send().await.expect(200);
            }
        };
        tokio::time::timeout(PATIENCE / 4, said)
            .await
            .unwrap_or_else(|_| panic!("the log never says {words:?}"));
    }

    pub(crate) async fn cancel(&self, id: &str) -> Value {
        let answer = self
            .post(&format!("/v1/videos/{id}/cancel"))
            .send()
            .await
            .expect(200);
        status_object::whole(answer.json())
    }

    /// The bytes of output 0.
    pub(crate) async fn bytes(&self, video: &Value) -> Bytes {
        self.get(video["content_url"].as_str().unwrap())
            .send()
            .await
            .expect(200)
            .body
    }

    // Keys.

    /// A key of `role`, in the first key's workspace or in another one.
    pub(crate) async fn new_key(&self, role: &str, workspace: Option<&str>) -> String {
        let mut body = json!({"name": format!("a {role}'s"), "role": role});
        if let Some(workspace) = workspace {
            body["workspace_id"] = json!(workspace);
        }
        let made = self.post("/v1/keys").json(&body).send().await.created();
        made["key"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn new_workspace(&self, name: &str) -> String {
        let made = self
            .post("/v1/workspaces")
            .json(&json!({"name": name}))
            .send()
            .await
            .created();
        made["id"].as_str().unwrap().to_owned()
    }

    /// How many videos the first key's workspace has.
    pub(crate) async fn video_count(&self) -> usize {
        let list = self
            .get("/v1/videos?limit=200")
            .send()
            .await
            .expect(200)
            .json();
        list["data"].as_array().unwrap().len()
    }
}

/// A test that fails shows what the gateway said.
impl Drop for Gate {
    fn drop(&mut self) {
        if let (true, Some(home)) = (std::thread::panicking(), &self.home) {
            eprintln!("the gateway's log:\n{}", home.log());
        }
    }
}

impl Door {
    /// A call with the first key. `path` may be a whole URL from an answer: links keep the port the job was
    /// created by, and a gateway that was started again has another.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        let path = match path.strip_prefix("http://127.0.0.1:") {
            Some(rest) => &rest[rest.find('/').expect("a link has a path")..],
            None => path,
        };
        let call = Call {
            http: self.http.clone(),
            method,
            url: format!("{}{path}", self.address),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        call.key(&self.key)
    }
}

impl Call {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers
            .insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn anonymous(mut self) -> Self {
        self.headers.remove("authorization");
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn body(self, kind: &str, body: impl Into<Bytes>) -> Self {
        let mut call = self.header("content-type", kind);
        call.body = body.into();
        call
    }

    /// Sends it to a gateway that may be gone: its answer, if there is a whole one.
    pub(crate) async fn try_send(self) -> reqwest::Result<Answer> {
        Answer::read(self.try_open().await?).await
    }

    /// Sends it, and leaves the body to be read as it comes.
    pub(crate) async fn open(self) -> reqwest::Response {
        self.try_open().await.unwrap()
    }

    /// As [`Call::open`], to a gateway that may be gone.
    pub(crate) async fn try_open(self) -> reqwest::Result<reqwest::Response> {
        let request = self.http.request(self.method, self.url);
        request.headers(self.headers).body(self.body).send().await
    }

    /// Sends it. Whatever comes back has its request id, and says whether it may be kept.
    pub(crate) async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.url);
        let answer = self.try_send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{what} was not answered: {error:?}"));
        let id = answer.find_header("x-request-id");
        assert!(id.is_some(), "{what} was answered without a request id");
        if answer.find_header("content-type") == Some("application/json") {
            let kept = if answer.find_header("etag").is_some() {
                "private, no-cache"
            } else {
                "no-store"
            };
            assert_eq!(answer.find_header("cache-control"), Some(kept), "{what}");
        }
        answer
    }
}

impl Answer {
    async fn read(response: reqwest::Response) -> reqwest::Result<Self> {
        Ok(Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await?,
        })
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The object a POST has made.
    #[track_caller]
    pub(crate) fn created(&self) -> Value {
        assert!(
            [200, 201].contains(&self.status),
            "{} {}",
            self.status,
            self.text()
        );
        self.json()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.find_header(name)
            .unwrap_or_else(|| panic!("there is no {name}: {:?}", self.headers))
    }

    pub(crate) fn find_header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// A refusal in the one envelope, every part of it as promised.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        let body = self.json();
        assert_eq!(body["error"], code, "{body:#}");
        assert_eq!(body["status_code"], status);
        let (kind, origin) = if status < 500 {
            ("user", "user")
        } else {
            ("system", "gateway")
        };
        assert_eq!(
            (&body["error_type"], &body["error_origin"]),
            (&json!(kind), &json!(origin)),
            "{body:#}"
        );
        for field in ["reason", "description"] {
            assert!(
                body[field].as_str().is_some_and(|text| !text.is_empty()),
                "{field}: {body:#}"
            );
        }
        assert!(
            body["generation_id"].is_null() || body["generation_id"].is_string(),
            "{body:#}"
        );
        assert_eq!(body["request_id"], self.header("x-request-id"));
        for detail in body["details"].as_array().into_iter().flatten() {
            let filled = |field: &str| detail[field].as_str().is_some_and(|text| !text.is_empty());
            assert!(filled("path") && filled("message"), "{body:#}");
        }
        let text = self.text();
        for internal in ["sqlite", "SELECT", "/tmp/", ".rs:", "panicked", "rusqlite"] {
            assert!(!text.contains(internal), "something internal shows: {text}");
        }
        body
    }

    /// A refusal of one field: which, and that the message says what is allowed.
    #[track_caller]
    pub(crate) fn refused_field(&self, code: &str, path: &str) -> String {
        let body = self.refused(400, code);
        let details = body["details"]
            .as_array()
            .unwrap_or_else(|| panic!("no details: {body:#}"));
        let detail = details.iter().find(|detail| detail["path"] == path);
        let detail = detail.unwrap_or_else(|| panic!("{path} is not named: {body:#}"));
        detail["message"].as_str().unwrap().to_owned()
    }
}

impl Done {
    async fn of(mut command: Command) -> Self {
        let output = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output();
        let output = tokio::time::timeout(PATIENCE, output)
            .await
            .expect("the command ends")
            .unwrap();
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It failed, in a sentence and not with a backtrace.
    #[track_caller]
    pub(crate) fn failed(self) -> Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

pub(crate) fn id_of(video: &Value) -> &str {
    video["id"].as_str().unwrap()
}

pub(crate) fn is_terminal(video: &Value) -> bool {
    ["completed", "failed", "cancelled", "expired"].contains(&video["status"].as_str().unwrap())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Files below `root`, relative to it, sorted.
pub(crate) fn files_below(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.push(
                    path.strip_prefix(root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
    }
    found.sort();
    found
}

fn client() -> reqwest::Client {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider()
            .install_default()
            .expect("nobody installed one before");
    });
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    client
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}
