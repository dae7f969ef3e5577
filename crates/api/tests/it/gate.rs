//! A gateway without a socket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use filmgate_api::{Api, Config, Limits, VideoConfig};
use filmgate_assets::Assets;
use filmgate_catalogue::Catalogue;
use filmgate_core::key::{KeyTerms, Role};
use filmgate_core::provider::{Credential, Secret};
use filmgate_core::request::ProviderName;
use filmgate_core::time::UnixTime;
use filmgate_engine::clock::{Clock, SystemClock};
use filmgate_engine::seal::{MasterKey, link_keys};
use filmgate_engine::{Account, BillingConfig, Engine, EngineConfig, Line, Made, Operator, Wiring};
use filmgate_store::Store;
use filmgate_store::sqlite::{self, SqliteStore};
use filmgate_testcard::{Testcard, TestcardService};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

pub(crate) struct Gate {
    pub(crate) routes: Router,
    pub(crate) engine: Engine,
    pub(crate) clock: Arc<MovedClock>,
    /// An admin's, a member's and a reader's of one workspace, and a member's of another.
    pub(crate) admin: String,
    pub(crate) member: String,
    pub(crate) reader: String,
    pub(crate) stranger: String,
    /// Cancelled, the server shuts down.
    pub(crate) stop: CancellationToken,
    directory: tempfile::TempDir,
}

/// What the operator has set.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) video: VideoConfig,
    pub(crate) retention: Option<Duration>,
    /// Nobody works on what is due, unless a test says so.
    pub(crate) idle: bool,
}

/// The machine's clock, as far ahead as a test has moved it.
pub(crate) struct MovedClock {
    machine: SystemClock,
    ahead: Mutex<Duration>,
}

impl MovedClock {
    pub(crate) fn advance(&self, by: Duration) {
        *self.ahead.lock().unwrap() += by;
    }
}

impl Clock for MovedClock {
    fn now(&self) -> UnixTime {
        self.machine.now().plus(*self.ahead.lock().unwrap())
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.bytes)
        );
        self
    }
}

/// A call in the making.
pub(crate) struct Call<'a> {
    routes: &'a Router,
    request: http::request::Builder,
}

impl Call<'_> {
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) async fn send(self) -> Answer {
        self.body(Body::empty()).await
    }

    pub(crate) async fn json(self, body: Value) -> Answer {
        self.header("content-type", "application/json")
            .body(body.to_string())
            .await
    }

    /// The response as it comes, its body unread.
    pub(crate) async fn open(self, body: impl Into<Body>) -> Response {
        let request = self.request.body(body.into()).unwrap();
        self.routes.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn body(self, body: impl Into<Body>) -> Answer {
        let response = self.open(body).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes,
        }
    }
}

impl Gate {
    pub(crate) async fn open() -> Self {
        Self::with(Config::default(), VideoConfig::default()).await
    }

    pub(crate) async fn with(config: Config, video: VideoConfig) -> Self {
        let setup = Setup {
            config,
            video,
            ..Setup::default()
        };
        Self::set_up(setup).await
    }

    pub(crate) async fn set_up(setup: Setup) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let store = SqliteStore::open(sqlite::Config::at(path("filmgate.db"))).unwrap();
        let store: Arc<dyn Store> = Arc::new(store);
        let assets = Assets::open(filmgate_assets::Config {
            url: format!("file:{}", path("assets").display()),
            spool_dir: path("spool"),
            ..filmgate_assets::Config::default()
        })
        .unwrap();
        let clock = Arc::new(MovedClock {
            machine: SystemClock::start(),
            ahead: Mutex::default(),
        });
        let master = MasterKey::new(&[7; 32]);
        let keys = link_keys(store.as_ref(), &master, clock.now())
            .await
            .unwrap();
        let name = ProviderName("testcard".into());
        let account = Account::new(
            Arc::new(Testcard::new(name.clone())),
            Line::InProcess(BoxCloneSyncService::new(TestcardService::new(2))),
            Credential {
                secret: Secret::new(""),
            },
            Duration::from_millis(20),
        );
        let engine = Engine::new(Wiring {
            store,
            assets,
            catalogue: Arc::new(Catalogue::built_in().unwrap()),
            accounts: BTreeMap::from([(name, account)]),
            outside: None,
            links: None,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            engine: EngineConfig::default(),
            billing: BillingConfig::default(),
            retention: setup.retention,
            callback_key: filmgate_engine::CallbackKey::new([7; 32]),
            master,
        });
        if !setup.idle {
            engine.start();
        }
        let nobody = Operator::default();
        let mut workspaces = Vec::new();
        for name in ["ours", "theirs"] {
            let Made::New(made) = engine.create_workspace(name.into(), &nobody).await.unwrap()
            else {
                panic!("nothing was made before")
            };
            workspaces.push(made.id);
        }
        let [ours, theirs] = workspaces[..] else {
            panic!("two were made")
        };
        let mut texts = Vec::new();
        for (workspace, role) in [
            (ours, Role::Admin),
            (ours, Role::Member),
            (ours, Role::Read),
            (theirs, Role::Member),
        ] {
            let terms = KeyTerms::new("k", role);
            let made = engine.create_key(workspace, terms, &nobody).await;
            let Made::New(made) = made.unwrap() else {
                panic!("nothing was made before")
            };
            texts.push(made.text.expose().to_owned());
        }
        let [admin, member, reader, stranger] = texts.try_into().unwrap();
        let stop = CancellationToken::new();
        let routes = filmgate_api::router(Api {
            statuses: filmgate_api::StatusCache::default(),
            limits: Arc::new(Limits::new(&setup.config, &engine)),
            engine: engine.clone(),
            link_keys: Arc::new(keys),
            config: setup.config,
            video: setup.video,
            stop: stop.clone(),
        });
        Self {
            routes,
            engine,
            clock,
            admin,
            member,
            reader,
            stranger,
            stop,
            directory,
        }
    }

    pub(crate) fn call(&self, method: &str, uri: &str) -> Call<'_> {
        Call {
            routes: &self.routes,
            request: Request::builder()
                .method(method)
                .uri(uri)
                .header("host", "films.example:8080"),
        }
    }

    pub(crate) async fn get(&self, uri: &str) -> Answer {
        self.call("GET", uri).key(&self.member).send().await
    }

    pub(crate) async fn post(&self, uri: &str, body: Value) -> Answer {
        self.call("POST", uri).key(&self.member).json(body).await
    }

    /// A small request, changed.
    pub(crate) fn order(&self, change: Value) -> Value {
        let mut order = json!({
            "model": "testcard", "prompt": "a paper boat", "duration": 1, "size": "320x180",
        });
        for (name, value) in change.as_object().unwrap() {
            order[name] = value.clone();
        }
        order
    }

    pub(crate) async fn create(&self, change: Value) -> Value {
        self.post("/v1/videos", self.order(change))
            .await
            .expect(202)
            .json()
    }

    /// How many files the asset store has.
    pub(crate) fn stored_files(&self) -> usize {
        fn below(path: &std::path::Path) -> usize {
            // A directory that a deletion leaves empty goes with it, maybe just now.
            let entries = std::fs::read_dir(path).into_iter().flatten();
            let paths = entries.flatten().map(|entry| entry.path());
            paths
                .map(|path| if path.is_dir() { below(&path) } else { 1 })
                .sum()
        }
        below(&self.directory.path().join("assets"))
    }

    /// The status once it is terminal.
    pub(crate) async fn finished(&self, id: &str) -> Value {
        self.get(&format!("/v1/videos/{id}?wait=60"))
            .await
            .expect(200)
            .json()
    }

    pub(crate) async fn completed(&self, change: Value) -> Value {
        let made = self.create(change).await;
        let status = self.finished(made["id"].as_str().unwrap()).await;
        assert_eq!(status["status"], "completed", "{status}");
        status
    }
}

/// The path and query of an absolute URL.
pub(crate) fn local(url: &Value) -> String {
    let url = url.as_str().expect("a URL");
    url.strip_prefix("http://films.example:8080")
        .unwrap_or_else(|| panic!("{url} has another origin"))
        .to_owned()
}
