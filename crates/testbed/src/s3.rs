//! An S3 server of one test's own, on loopback: it checks signatures, and can be made to misbehave.
//!
//! `s3s` reads the requests and checks them, `s3s-fs` keeps the objects as files in a directory that goes with the server.
//! What a real bucket does on a bad day is switched on and off by [`Faults`], while the server runs.
//!
//! It lives on a thread of its own, so a program that is started with its [`S3Server::endpoint`] and keys uses it as well
//! as a test in this process.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The most of a request's body that is read before it is refused.
const MOST_REFUSED_BYTES: usize = 64 << 20;

/// A running server with one empty bucket; files and server go with this value.
pub struct S3Server {
    address: SocketAddr,
    files: TempDir,
    faults: Arc<Faults>,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
}

impl S3Server {
    pub const BUCKET: &str = "filmgate";
    pub const REGION: &str = "us-east-1";
    pub const ACCESS_KEY_ID: &str = "testbed";
    pub const SECRET_ACCESS_KEY: &str = "testbed/secret+of/nobody";

    /// Starts a server on a free port.
    ///
    /// # Panics
    /// If there is no port or no place for its files.
    pub fn start() -> Self {
        let files = tempfile::tempdir().expect("there is a place for temporary files");
        std::fs::create_dir(files.path().join(Self::BUCKET)).expect("the directory is new");
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let faults = Arc::new(Faults::new());
        let stop = CancellationToken::new();
        let served = Served {
            service: service(files.path()),
            bucket: files.path().join(Self::BUCKET),
            faults: Arc::clone(&faults),
        };
        let stopped = stop.clone();
        let serving = std::thread::spawn(move || serve(listener, served, &stopped));
        Self {
            address,
            files,
            faults,
            stop,
            serving: Some(serving),
        }
    }

    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it does wrong, and how often it was asked.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The keys of all objects in the bucket, in order.
    ///
    /// # Panics
    /// If its files cannot be read.
    pub fn objects(&self) -> Vec<String> {
        let bucket = self.bucket();
        let mut keys = Vec::new();
        let mut directories = vec![bucket.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).expect("it is there") {
                let path = entry.expect("it can be read").path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let key = path.strip_prefix(&bucket).expect("it is in the bucket");
                    keys.push(key.to_string_lossy().into_owned());
                }
            }
        }
        keys.sort();
        keys
    }

    /// Lets everything in the bucket grow older by so much.
    ///
    /// # Panics
    /// If its files cannot be changed.
    pub fn age(&self, by: Duration) {
        let bucket = self.files.path().join(Self::BUCKET);
        for key in self.objects() {
            let file = File::options().write(true).open(bucket.join(key));
            let file = file.expect("it is there");
            let written = file.metadata().and_then(|metadata| metadata.modified());
            let written = written.expect("file systems keep that time");
            file.set_modified(written - by)
                .expect("the file is the server's own");
        }
    }

    /// Puts an object there behind the server's back.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn plant(&self, key: &str, bytes: &[u8]) {
        let file = self.bucket().join(key);
        std::fs::create_dir_all(file.parent().expect("it is in the bucket"))
            .expect("it can be made");
        std::fs::write(file, bytes).expect("it can be written");
    }

    /// Where the objects are as files, each at its key.
    pub fn bucket(&self) -> PathBuf {
        self.files.path().join(Self::BUCKET)
    }

    /// How many files there are of uploads that were neither completed nor aborted: one of the upload itself and one of
    /// each of its parts.
    ///
    /// # Panics
    /// If its files cannot be read.
    pub fn unfinished(&self) -> usize {
        let beside = std::fs::read_dir(self.files.path()).expect("it is there");
        beside
            .filter(|entry| {
                let entry = entry.as_ref().expect("it can be read");
                entry.file_name().to_string_lossy().starts_with(".upload")
            })
            .count()
    }

    /// Takes the bucket away, with everything in it.
    ///
    /// # Panics
    /// If it is gone already.
    pub fn remove_bucket(&self) {
        std::fs::remove_dir_all(self.bucket()).expect("it is there");
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(serving) = self.serving.take() {
            // A panic of the server has shown itself in the test that met it.
            let _ = serving.join();
        }
    }
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Writing: a whole object, or any step of an upload in parts but its abortion.
    Put,
    /// Those that bring one of several parts.
    Part,
    /// Those that make an object of the parts.
    Complete,
    /// Reading an object.
    Get,
    /// Asking about an object.
    Head,
    List,
    /// Removing an object, or what is there of an upload in parts.
    Delete,
    /// Each of them.
    Any,
}

/// What the server does instead of what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 500 `InternalError`.
    InternalError,
    /// 503 `SlowDown`.
    SlowDown,
    /// 507, as servers answer that have no space left.
    Full,
    /// No answer, until [`Faults::clear`]; then the request is served.
    Stall,
    /// The answer's head and this many bytes of its body, then the connection breaks.
    CutAfter(u64),
    /// The answer's head and this many bytes of its body, then nothing more on a connection that stays.
    StallAfter(u64),
    /// An answer that claims to be whole and has no more than this many bytes, or says so in its head.
    ShortenedTo(u64),
}

/// The faults that are switched on, and the requests so far. The first fault that fits a request is the one it meets.
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    asked: [AtomicU64; 8],
    arrivals: watch::Sender<()>,
    clearings: watch::Sender<()>,
}

struct Rule {
    kind: Kind,
    fault: Fault,
    /// Requests that are still to meet it; none: all of them.
    left: Option<u32>,
}

impl Faults {
    fn new() -> Self {
        Self {
            rules: Mutex::default(),
            asked: Default::default(),
            arrivals: watch::Sender::new(()),
            clearings: watch::Sender::new(()),
        }
    }

    /// The next `times` requests of this kind meet `fault`.
    pub fn next(&self, times: u32, kind: Kind, fault: Fault) {
        self.add(kind, fault, Some(times));
    }

    /// All requests of this kind meet `fault`, until [`Faults::clear`].
    pub fn always(&self, kind: Kind, fault: Fault) {
        self.add(kind, fault, None);
    }

    /// From here on all is well; requests that were stalled are served.
    pub fn clear(&self) {
        self.rules().clear();
        self.clearings.send_replace(());
    }

    /// How many requests of this kind have come, those that met a fault among them.
    pub fn requests(&self, kind: Kind) -> u64 {
        self.asked[kind as usize].load(Ordering::SeqCst)
    }

    /// Returns when at least `count` requests of this kind have come.
    pub async fn until_requests(&self, kind: Kind, count: u64) {
        let mut arrivals = self.arrivals.subscribe();
        while self.requests(kind) < count && arrivals.changed().await.is_ok() {}
    }

    fn add(&self, kind: Kind, fault: Fault, left: Option<u32>) {
        self.rules().push(Rule { kind, fault, left });
    }

    fn meet(&self, kinds: &[Kind]) -> Option<Fault> {
        for kind in kinds {
            self.asked[*kind as usize].fetch_add(1, Ordering::SeqCst);
        }
        self.arrivals.send_replace(());
        let mut rules = self.rules();
        let place = rules.iter().position(|rule| kinds.contains(&rule.kind))?;
        let rule = &mut rules[place];
        let fault = rule.fault;
        if let Some(left) = &mut rule.left {
            *left -= 1;
            if *left == 0 {
                rules.remove(place);
            }
        }
        Some(fault)
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().expect("nobody panics while holding it")
    }
}

#[derive(Clone)]
struct Served {
    service: S3Service,
    bucket: PathBuf,
    faults: Arc<Faults>,
}

fn service(files: &Path) -> S3Service {
    let files = FileSystem::new(files).expect("the directory is there");
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(
        S3Server::ACCESS_KEY_ID,
        S3Server::SECRET_ACCESS_KEY,
    ));
    builder.build()
}

/// Serves until `stop`; what is under way then is dropped with the runtime.
fn serve(listener: TcpListener, served: Served, stop: &CancellationToken) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        listener
            .set_nonblocking(true)
            .expect("the listener is a socket");
        let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
        let router = Router::new().fallback(answer).with_state(served);
        tokio::select! {
            served = axum::serve(listener, router) => served.expect("serving does not end"),
            () = stop.cancelled() => {}
        }
    });
}

async fn answer(State(served): State<Served>, request: Request) -> Response {
    // Subscribed to before the look at the rules: a clearing in between is not missed.
    let mut clearing = served.faults.clearings.subscribe();
    let fault = served.faults.meet(kinds(&request));
    match fault {
        Some(Fault::InternalError) => {
            return refuse(request, StatusCode::INTERNAL_SERVER_ERROR, "InternalError").await;
        }
        Some(Fault::SlowDown) => {
            return refuse(request, StatusCode::SERVICE_UNAVAILABLE, "SlowDown").await;
        }
        Some(Fault::Full) => {
            return refuse(request, StatusCode::INSUFFICIENT_STORAGE, "StorageFull").await;
        }
        Some(Fault::Stall) => {
            // An error would mean that the server is gone.
            let _ = clearing.changed().await;
        }
        Some(Fault::CutAfter(_) | Fault::StallAfter(_) | Fault::ShortenedTo(_)) | None => {}
    }
    let method = request.method().clone();
    let request = request.map(s3s::Body::http_body_unsync);
    let Ok(answer) = served.service.call(request).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // `s3s-fs` takes a missing bucket for a missing object when it is read; buckets tell the two apart.
    if answer.status() == StatusCode::NOT_FOUND && method == Method::GET && !served.bucket.exists()
    {
        return told(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    match fault {
        Some(Fault::CutAfter(bytes)) => {
            answer.map(|body| axum::body::Body::new(Part::of(body, bytes, Ending::Broken)))
        }
        Some(Fault::StallAfter(bytes)) => {
            answer.map(|body| axum::body::Body::new(Part::of(body, bytes, Ending::Silent)))
        }
        Some(Fault::ShortenedTo(bytes)) => {
            let (mut head, body) = answer.into_parts();
            let length = head.headers.get(CONTENT_LENGTH);
            let length: Option<u64> = length.and_then(|text| text.to_str().ok()?.parse().ok());
            let length = length.map_or(bytes, |length| length.min(bytes));
            head.headers
                .insert(CONTENT_LENGTH, HeaderValue::from(length));
            let body = axum::body::Body::new(Part::of(body, bytes, Ending::Quiet));
            Response::from_parts(head, body)
        }
        _ => answer.map(axum::body::Body::new),
    }
}

fn kinds(request: &Request) -> &'static [Kind] {
    let query = request.uri().query().unwrap_or_default();
    let asks = |name: &str| {
        query
            .split('&')
            .any(|pair| pair.split('=').next() == Some(name))
    };
    match *request.method() {
        Method::POST if asks("delete") => &[Kind::Delete, Kind::Any],
        Method::POST if asks("uploadId") => &[Kind::Complete, Kind::Put, Kind::Any],
        Method::PUT if asks("partNumber") => &[Kind::Part, Kind::Put, Kind::Any],
        Method::PUT | Method::POST => &[Kind::Put, Kind::Any],
        Method::HEAD => &[Kind::Head, Kind::Any],
        Method::DELETE => &[Kind::Delete, Kind::Any],
        _ if asks("list-type") => &[Kind::List, Kind::Any],
        _ => &[Kind::Get, Kind::Any],
    }
}

/// The body is read first: a client that is still sending would else see a broken connection instead of the answer.
async fn refuse(request: Request, status: StatusCode, code: &str) -> Response {
    let _ = axum::body::to_bytes(request.into_body(), MOST_REFUSED_BYTES).await;
    told(status, code)
}

fn told(status: StatusCode, code: &str) -> Response {
    let message = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>said by the testbed</Message></Error>"
    );
    let mut answer = (status, message).into_response();
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

/// The beginning of a body.
struct Part {
    body: Pin<Box<s3s::Body>>,
    left: u64,
    ending: Ending,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The body ends here, as far as the connection tells.
    Quiet,
    /// The connection breaks once everything before is on its way.
    Broken,
    Breaking,
    /// The client has to hang up.
    Silent,
}

impl Part {
    fn of(body: s3s::Body, bytes: u64, ending: Ending) -> Self {
        Self {
            body: Box::pin(body),
            left: bytes,
            ending,
        }
    }
}

impl Body for Part {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return match self.ending {
                Ending::Quiet => Poll::Ready(None),
                Ending::Broken => {
                    // The server writes out what it has whenever it has to wait for more.
                    self.ending = Ending::Breaking;
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                Ending::Silent => Poll::Pending,
                Ending::Breaking => Poll::Ready(Some(Err("cut short as the test wants it".into()))),
            };
        }
        let Some(frame) = ready!(self.body.as_mut().poll_frame(context)?) else {
            return Poll::Ready(None);
        };
        let Ok(mut bytes) = frame.into_data() else {
            return Poll::Ready(None);
        };
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn size_hint(&self) -> SizeHint {
        match self.ending {
            Ending::Quiet => SizeHint::default(),
            Ending::Broken | Ending::Breaking | Ending::Silent => self.body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn asked(server: &S3Server, path: &str) -> String {
        let mut connection = TcpStream::connect(server.address).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn who_signs_nothing_gets_nothing() {
        let server = S3Server::start();
        let answer = asked(&server, "/filmgate/key");
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(answer.contains("AccessDenied"), "{answer}");
    }

    #[test]
    fn a_fault_is_met_as_often_as_was_said_and_by_its_kind() {
        let server = S3Server::start();
        server.faults().next(1, Kind::Put, Fault::Full);
        server.faults().next(2, Kind::Any, Fault::SlowDown);
        for expected in ["503", "503", "403"] {
            let answer = asked(&server, "/filmgate/key");
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")));
        }
        assert_eq!(server.faults().requests(Kind::Get), 3);
        assert_eq!(server.faults().requests(Kind::Put), 0);
        asked(&server, "/filmgate?list-type=2");
        assert_eq!(server.faults().requests(Kind::List), 1);
        assert_eq!(server.faults().requests(Kind::Any), 4);
    }

    #[test]
    fn a_stalled_request_is_served_once_that_is_over() {
        let server = S3Server::start();
        server.faults().always(Kind::Any, Fault::Stall);
        std::thread::scope(|scope| {
            let stalled = scope.spawn(|| asked(&server, "/filmgate/key"));
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let until = server.faults().until_requests(Kind::Get, 1);
            runtime.unwrap().block_on(until);
            server.faults().clear();
            assert!(stalled.join().unwrap().starts_with("HTTP/1.1 403 "));
        });
    }

    #[test]
    fn nothing_of_it_is_left_when_it_is_dropped() {
        let server = S3Server::start();
        let files = server.files.path().to_owned();
        drop(server);
        assert!(!files.exists());
    }
}
