//! The guard against a table of spellings, and against servers on loopback: 127.0.0.2 is opened, 127.0.0.1 is not, though
//! somebody listens there on the same port and would answer.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use http_body_util::BodyExt;
use proptest::prelude::*;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

const OPEN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const CLOSED: Ipv4Addr = Ipv4Addr::LOCALHOST;

const TABLE: &str = include_str!("../../../tests/addresses.txt");

/// Nothing is opened. Making one reads all root certificates of the system.
static SHUT: LazyLock<Outside> = LazyLock::new(|| outside(&[], Arc::new(System)));

/// Names that lead where the test says: the next answer each time they are looked up, the last one for ever.
struct Scripted(Mutex<VecDeque<Vec<IpAddr>>>);

impl Resolve for Scripted {
    fn resolve(&self, _name: Name) -> Resolving {
        let mut answers = self.0.lock().unwrap();
        let answer = match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        };
        let found: Addrs = Box::new(answer.into_iter().map(|ip| SocketAddr::new(ip, 0)));
        Box::pin(async move { Ok(found) })
    }
}

fn leading_to(answers: &[&[Ipv4Addr]]) -> Arc<dyn Resolve> {
    let answers = answers
        .iter()
        .map(|answer| answer.iter().map(|ip| IpAddr::V4(*ip)).collect());
    Arc::new(Scripted(Mutex::new(answers.collect())))
}

fn outside(opened: &[&str], names: Arc<dyn Resolve>) -> Outside {
    // Another test of this process may have done it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let opened = opened.iter().map(|text| text.parse().unwrap()).collect();
    Outside::resolving(opened, names).unwrap()
}

fn asked(opened: &[&str], url: &str) -> Result<(), NotPublic> {
    outside(opened, Arc::new(System)).judge(&Url::parse(url).unwrap())
}

/// The verdicts and the texts of the table.
fn spellings() -> Vec<(&'static str, String)> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (verdict, text) = line.split_once(' ').unwrap_or((line, ""));
            (verdict, unescaped(text.trim_start()))
        })
        .collect()
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            plain.push(next);
            continue;
        }
        plain.push(match rest.next() {
            Some('s') => ' ',
            Some('t') => '\t',
            Some('n') => '\n',
            Some('u') => {
                let digits: String = rest
                    .by_ref()
                    .skip(1)
                    .take_while(|digit| *digit != '}')
                    .collect();
                char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap()
            }
            other => other.unwrap(),
        });
    }
    plain
}

#[tokio::test]
async fn every_spelling_gets_its_verdict() {
    let guard = outside(&[], leading_to(&[&[CLOSED]]));
    let all = spellings();
    assert!(all.len() >= 200, "the table has only {}", all.len());
    let mut wrong = Vec::new();
    for (verdict, text) in &all {
        let found = match Url::parse(text) {
            Err(_) => "unreadable",
            Ok(url) => match guard.judge(&url) {
                Err(NotPublic::Address) => "address",
                Err(NotPublic::Scheme) => "scheme",
                Err(NotPublic::Login) => "login",
                Ok(()) if url.domain().is_some() => "name",
                Ok(()) => "asked",
            },
        };
        if found != *verdict {
            wrong.push(format!("{text:?} is {found}, not {verdict}"));
        }
        // However good a name looks, what it leads to decides.
        if *verdict == "name" {
            let answer = guard.fetch(Url::parse(text).unwrap()).await;
            let refused =
                matches!(&answer, Err(LineError::Forbidden(why)) if why == "it is not public");
            assert!(refused, "{text}: {answer:?}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest! {
    #[test]
    fn no_text_leads_inside(text in "(https?:)?/{0,3}([a-z0-9.@%\\[\\]:x]{0,20}|\\PC{0,20})(/\\PC{0,5})?") {
        let guard = &*SHUT;
        if let Ok(url) = Url::parse(&text)
            && guard.judge(&url).is_ok()
        {
            prop_assert_eq!(url.scheme(), "https");
            match url.host() {
                Some(Host::Ipv4(address)) => prop_assert!(is_public(address.into()), "{}", url),
                Some(Host::Ipv6(address)) => prop_assert!(is_public(address.into()), "{}", url),
                // No resolver takes it for an address.
                Some(Host::Domain(name)) => prop_assert!(name.parse::<IpAddr>().is_err(), "{}", url),
                None => prop_assert!(false, "{} has no host", url),
            }
        }
    }

    #[test]
    fn every_ipv4_is_judged_alike_in_all_its_spellings(bits: u32) {
        let guard = &*SHUT;
        let [a, b, c, d] = bits.to_be_bytes();
        let low = bits & 0x00ff_ffff;
        let expected = is_public(Ipv4Addr::from(bits).into());
        for host in [
            format!("{a}.{b}.{c}.{d}"),
            format!("{a}.{b}.{c}.{d}."),
            format!("{bits}"),
            format!("{bits:#x}"),
            format!("0{bits:o}"),
            format!("{a:#x}.{low}"),
            format!("0{a:o}.{b}.{}", bits & 0xffff),
            format!("[::ffff:{a}.{b}.{c}.{d}]"),
        ] {
            let judged = guard.judge(&Url::parse(&format!("https://{host}/")).unwrap());
            prop_assert_eq!(judged.is_ok(), expected, "{}", host);
        }
    }
}

#[test]
fn plain_http_is_for_networks_that_were_opened() {
    assert_eq!(asked(&[], "http://8.8.8.8/"), Err(NotPublic::Scheme));
    assert_eq!(asked(&["10.0.0.0/8"], "http://10.1.2.3/"), Ok(()));
    assert_eq!(asked(&["10.0.0.0/8"], "https://10.1.2.3/"), Ok(()));
    assert_eq!(asked(&["10.0.0.0/8"], "http://0xa010203/"), Ok(()));
    assert_eq!(
        asked(&["10.0.0.0/8"], "http://8.8.8.8/"),
        Err(NotPublic::Address)
    );
    assert_eq!(
        asked(&["10.0.0.0/8"], "https://10.1.2.3@10.1.2.3/"),
        Err(NotPublic::Login)
    );
    for scheme in ["file:///etc/passwd", "ftp://[::1]/"] {
        assert_eq!(asked(&["::/0"], scheme), Err(NotPublic::Scheme));
    }
    // What carries an opened address is not that address.
    for outer in ["[64:ff9b::10.1.2.3]", "[2002:a01:203::]", "[::10.1.2.3]"] {
        let url = format!("https://{outer}/");
        assert_eq!(
            asked(&["10.0.0.0/8"], &url),
            Err(NotPublic::Address),
            "{url}"
        );
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_not_followed() {
    let guarded = |rule| Guarded {
        rule,
        names: Arc::new(System),
    };
    let shut = guarded(Rule::PublicOr(Vec::new().into()));
    let refused = shut.resolve("localhost".parse().unwrap()).await;
    let refused = refused.err().expect("localhost leads here");
    assert_eq!(refused.downcast_ref(), Some(&NotPublic::Address));
    let opened = vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
    let open = guarded(Rule::Within(opened.into()));
    let found = open.resolve("localhost".parse().unwrap()).await;
    assert!(found.is_ok_and(|mut found| found.next().is_some()));
}

/// The same server on both addresses and one port, and how many connections each of them has had.
struct Pair {
    port: u16,
    open: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Pair {
    async fn answering(answer: impl Fn(&str) -> Response + Clone + Send + Sync + 'static) -> Self {
        // A port that is free on the one may be taken on the other.
        let (first, second) = loop {
            let first = TcpListener::bind((OPEN, 0)).await.unwrap();
            let port = first.local_addr().unwrap().port();
            if let Ok(second) = TcpListener::bind((CLOSED, port)).await {
                break (first, second);
            }
        };
        let port = first.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        let mut serve = |listener: TcpListener| {
            let asked = Arc::new(AtomicUsize::new(0));
            let (count, answer) = (Arc::clone(&asked), answer.clone());
            let app = Router::new().fallback(move |request: Request| {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = answer(request.uri().path());
                async move { answer }
            });
            tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
            asked
        };
        let (open, closed) = (serve(first), serve(second));
        Self {
            port,
            open,
            closed,
            _tasks: tasks,
        }
    }

    /// How often each was asked.
    fn asked(&self) -> (usize, usize) {
        (
            self.open.load(Ordering::SeqCst),
            self.closed.load(Ordering::SeqCst),
        )
    }

    fn url(&self, host: &str) -> Url {
        format!("http://{host}:{}/v.mp4", self.port)
            .parse()
            .unwrap()
    }
}

fn file() -> Response {
    "a film".into_response()
}

fn found_at(location: &str) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

#[track_caller]
fn forbidden<T>(answer: Result<T, LineError>) -> String {
    match answer {
        Err(LineError::Forbidden(why)) => why,
        Err(other) => panic!("it failed otherwise: {other}"),
        Ok(_) => panic!("it was asked"),
    }
}

#[tokio::test]
async fn the_closed_server_would_answer_and_is_not_asked() {
    let pair = Pair::answering(|_| file()).await;
    let by_system = outside(&["127.0.0.2"], Arc::new(System));
    let answer = by_system.fetch(pair.url("127.0.0.2")).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "a film");
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "0",
    ] {
        forbidden(by_system.fetch(pair.url(host)).await);
        let mut encrypted = pair.url(host);
        encrypted.set_scheme("https").unwrap();
        forbidden(by_system.fetch(encrypted).await);
    }
    assert_eq!(pair.asked(), (1, 0));
    // It is there, for whoever opens it.
    let all = outside(&["127.0.0.0/8"], Arc::new(System));
    all.fetch(pair.url("127.0.0.1")).await.unwrap();
    assert_eq!(pair.asked(), (1, 1));
}

#[tokio::test]
async fn a_name_that_shows_another_address_when_it_is_asked_again_is_judged_again() {
    let pair = Pair::answering(|_| file()).await;
    let rebinding = outside(&["127.0.0.2"], leading_to(&[&[OPEN], &[CLOSED]]));
    let url = pair.url("films.example");
    rebinding.judge(&url).unwrap();
    rebinding.fetch(url.clone()).await.unwrap();
    assert_eq!(
        forbidden(rebinding.fetch(url.clone()).await),
        "it is not public"
    );
    assert_eq!(pair.asked(), (1, 0));
    // Of several addresses only those are tried that may be.
    let both = outside(&["127.0.0.2"], leading_to(&[&[CLOSED, OPEN, CLOSED]]));
    both.fetch(url.clone()).await.unwrap();
    let none = outside(&["127.0.0.2"], leading_to(&[&[]]));
    forbidden(none.fetch(url).await);
    assert_eq!(pair.asked(), (2, 0));
}

#[tokio::test]
async fn a_redirect_is_judged_like_the_address_it_leads_to() {
    for target in [
        "http://127.0.0.1:PORT/v.mp4",
        "//127.0.0.1:PORT/v.mp4",
        "http://localhost:PORT/v.mp4",
        "http://0x7f000001:PORT/v.mp4",
        "https://127.0.0.1:PORT/v.mp4",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::ffff:127.0.0.1]:PORT/",
        "http://user:secret@127.0.0.2:PORT/v.mp4",
        "file:///etc/passwd",
        "gopher://127.0.0.1:PORT/",
    ] {
        let port = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&port);
        let pair = Pair::answering(move |_| {
            let port = told.load(Ordering::SeqCst).to_string();
            found_at(&target.replace("PORT", &port))
        })
        .await;
        port.store(usize::from(pair.port), Ordering::SeqCst);
        let guard = outside(&["127.0.0.2"], Arc::new(System));
        forbidden(guard.fetch(pair.url("127.0.0.2")).await);
        assert_eq!(pair.asked(), (1, 0), "{target}");
    }
}

#[tokio::test]
async fn redirects_end() {
    let pair = Pair::answering(|path| match path {
        "/v.mp4" => found_at("/1"),
        "/1" => found_at("2"),
        "/2" => found_at("./3?x=1"),
        "/3" => found_at("//127.0.0.2:PORT/no"),
        "/round" => found_at("/round"),
        _ => file(),
    })
    .await;
    let guard = outside(&["127.0.0.2"], Arc::new(System));
    // A location that cannot be read is an answer like any other.
    let answer = guard.fetch(pair.url("127.0.0.2")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FOUND);
    assert_eq!(pair.asked(), (4, 0));
    let round = pair.url("127.0.0.2").join("/round").unwrap();
    let error = guard.fetch(round).await.expect_err("it goes round");
    assert!(error.to_string().contains("redirects"), "{error}");
    assert_eq!(pair.asked(), (4 + 6, 0));
}
