//! The bytes: whole, in parts, by key and by signed link, and never before their time.

use std::collections::BTreeSet;
use std::sync::Arc;

use filmgate_assets::signed_link::{Disposition, LinkGrant, LinkKeys, Variant};
use filmgate_core::time::UnixTime;
use filmgate_engine::seal::{MasterKey, link_keys};
use filmgate_store::Store;
use filmgate_store::sqlite::{Config, SqliteStore};
use reqwest::Method;
use serde_json::{Value, json};

use crate::gate::{Call, Gate, Home, id_of, sha256};
use crate::order::Order;

/// A gateway with one completed video, and the path of its content.
async fn with_a_video() -> (Gate, Value, String) {
    let gate = Gate::start().await;
    let done = gate
        .completed(&Order::of("served").with("generate_audio", true))
        .await;
    let path = format!("/v1/videos/{}/content", id_of(&done));
    (gate, done, path)
}

#[tokio::test]
async fn the_whole_file_is_what_the_status_says() {
    let (gate, done, path) = with_a_video().await;
    let answer = gate.get(&path).send().await.expect(200);
    let asset = &done["asset"];
    assert_eq!(sha256(&answer.body), asset["sha256"].as_str().unwrap());
    assert_eq!(answer.body.len() as u64, asset["bytes"].as_u64().unwrap());
    assert_eq!(answer.header("content-type"), "video/mp4");
    assert_eq!(answer.header("content-length"), asset["bytes"].to_string());
    assert_eq!(
        answer.header("etag"),
        format!("\"{}\"", asset["sha256"].as_str().unwrap())
    );
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("content-security-policy").contains("sandbox"));
    assert!(
        answer
            .header("content-disposition")
            .starts_with("attachment"),
        "{:?}",
        answer.headers
    );
    assert!(answer.header("last-modified").ends_with(" GMT"));
    assert!(
        answer.header("cache-control").contains("private"),
        "{:?}",
        answer.headers
    );

    let head = gate.call(Method::HEAD, &path).send().await.expect(200);
    assert_eq!(head.body.len(), 0);
    for name in [
        "content-type",
        "content-length",
        "etag",
        "accept-ranges",
        "content-disposition",
        "last-modified",
    ] {
        assert_eq!(head.header(name), answer.header(name), "{name}");
    }
    // Media does not get smaller, and its tag names the bytes as they are.
    let plain = gate
        .get(&path)
        .header("accept-encoding", "gzip, br")
        .send()
        .await
        .expect(200);
    assert_eq!(plain.find_header("content-encoding"), None);
}

#[tokio::test]
async fn one_range_is_a_part_and_anything_else_the_whole() {
    let (gate, done, path) = with_a_video().await;
    let whole = gate.bytes(&done).await;
    let length = whole.len();
    let last = length - 1;
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=0-".to_owned(), 0, last),
        ("bytes=10-99".to_owned(), 10, 99),
        (format!("bytes={last}-"), last, last),
        (format!("bytes=5-{}", length * 2), 5, last),
        ("bytes=-7".to_owned(), length - 7, last),
        (format!("bytes=-{}", length * 2), 0, last),
    ] {
        let part = gate
            .get(&path)
            .header("range", &range)
            .send()
            .await
            .expect(206);
        assert_eq!(
            part.header("content-range"),
            format!("bytes {from}-{to}/{length}"),
            "{range}"
        );
        assert_eq!(
            part.header("content-length"),
            (to - from + 1).to_string(),
            "{range}"
        );
        assert!(part.body == whole[from..=to], "{range} brings other bytes");
        let head = gate
            .call(Method::HEAD, &path)
            .header("range", &range)
            .send()
            .await;
        assert!(
            [200, 206].contains(&head.status) && head.body.is_empty(),
            "{range}"
        );
    }
    for range in [
        format!("bytes={length}-"),
        format!("bytes={}-{}", length + 5, length + 9),
        "bytes=-0".to_owned(),
    ] {
        let refused = gate.get(&path).header("range", &range).send().await;
        refused.refused(416, "range_not_satisfiable");
        assert_eq!(
            refused.header("content-range"),
            format!("bytes */{length}"),
            "{range}"
        );
    }
    for range in [
        "bytes=0-1,4-5",
        "lines=0-1",
        "bytes=5-2",
        "bytes=a-b",
        "nonsense",
        "bytes=",
    ] {
        let answer = gate
            .get(&path)
            .header("range", range)
            .send()
            .await
            .expect(200);
        assert!(answer.body == whole, "{range} does not bring the whole");
    }
}

#[tokio::test]
async fn the_parts_of_a_file_make_the_file() {
    let (gate, done, path) = with_a_video().await;
    let length = done["asset"]["bytes"].as_u64().unwrap() as usize;
    let mut joined = Vec::new();
    while joined.len() < length {
        let range = format!("bytes={}-{}", joined.len(), joined.len() + length / 3);
        joined.extend(
            gate.get(&path)
                .header("range", &range)
                .send()
                .await
                .expect(206)
                .body,
        );
    }
    assert_eq!(sha256(&joined), done["asset"]["sha256"].as_str().unwrap());
}

#[tokio::test]
async fn a_range_holds_only_for_the_bytes_it_was_meant_for() {
    let (gate, _, path) = with_a_video().await;
    let seen = gate.get(&path).send().await.expect(200);
    let (etag, modified) = (seen.header("etag"), seen.header("last-modified"));
    let ask = |condition: &str| {
        gate.get(&path)
            .header("range", "bytes=0-9")
            .header("if-range", condition)
            .send()
    };
    for same in [etag, modified] {
        assert_eq!(ask(same).await.expect(206).body.len(), 10, "{same}");
    }
    for other in [
        "\"other\"",
        &format!("W/{etag}"),
        "Thu, 01 Jan 1970 00:00:00 GMT",
    ] {
        assert_eq!(
            ask(other).await.expect(200).body.len(),
            seen.body.len(),
            "{other}"
        );
    }
}

#[tokio::test]
async fn bytes_that_are_known_are_not_sent_again() {
    let (gate, _, path) = with_a_video().await;
    let seen = gate.get(&path).send().await.expect(200);
    let etag = seen.header("etag");
    for known in [etag, &format!("\"other\", {etag}"), "*"] {
        let answer = gate
            .get(&path)
            .header("if-none-match", known)
            .send()
            .await
            .expect(304);
        assert_eq!((answer.header("etag"), answer.body.len()), (etag, 0));
    }
    // A range does not change that.
    gate.get(&path)
        .header("if-none-match", etag)
        .header("range", "bytes=0-9")
        .send()
        .await
        .expect(304);
    gate.get(&path)
        .header("if-none-match", "\"other\"")
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn outputs_are_told_apart_and_a_thumbnail_is_a_jpeg() {
    let gate = Gate::start().await;
    let done = gate
        .completed(&Order::of("two").with("sample_count", 2))
        .await;
    let path = format!("/v1/videos/{}/content", id_of(&done));
    for (index, output) in done["outputs"].as_array().unwrap().iter().enumerate() {
        let video = gate
            .get(&format!("{path}?index={index}"))
            .send()
            .await
            .expect(200)
            .body;
        assert_eq!(sha256(&video), output["sha256"].as_str().unwrap());
        let explicit = gate
            .get(&format!("{path}?index={index}&variant=video"))
            .send()
            .await
            .expect(200)
            .body;
        assert!(explicit == video);
        let by_key = gate
            .get(&format!("{path}?index={index}&variant=thumbnail"))
            .send()
            .await
            .expect(200);
        assert_eq!(by_key.header("content-type"), "image/jpeg");
        assert_eq!(&by_key.body[..3], b"\xff\xd8\xff", "no JPEG");
        let by_link = gate
            .get(output["thumbnail_url"].as_str().unwrap())
            .anonymous()
            .send()
            .await
            .expect(200);
        assert!(by_link.body == by_key.body);
    }
    gate.get(&format!("{path}?index=2"))
        .send()
        .await
        .refused(404, "not_found");
    for (query, parameter) in [
        ("index=one", "index"),
        ("index=-1", "index"),
        ("variant=poster", "variant"),
    ] {
        gate.get(&format!("{path}?{query}"))
            .send()
            .await
            .refused_field("validation_error", parameter);
    }
    gate.get(&format!("{path}?variant=spritesheet"))
        .send()
        .await
        .refused(400, "not_supported");
}

// Signed links.

#[tokio::test]
async fn a_signed_link_opens_without_a_key_and_nothing_else_does() {
    let (gate, done, path) = with_a_video().await;
    let whole = gate.bytes(&done).await;
    let link = done["download_url"].as_str().unwrap();
    let by_link = gate.get(link).anonymous().send().await.expect(200);
    assert!(by_link.body == whole);
    assert_eq!(
        gate.get(link)
            .anonymous()
            .header("range", "bytes=0-9")
            .send()
            .await
            .expect(206)
            .body,
        whole[..10]
    );
    assert_eq!(
        gate.call(Method::HEAD, link)
            .anonymous()
            .send()
            .await
            .expect(200)
            .header("content-length"),
        whole.len().to_string()
    );
    // A key that is no good does not spoil a good link, and no link stands in for a key elsewhere.
    gate.get(&path)
        .anonymous()
        .send()
        .await
        .refused(401, "unauthorised");
    let query = link.split_once('?').unwrap().1;
    gate.get(&format!("/v1/videos/{}?{query}", id_of(&done)))
        .anonymous()
        .send()
        .await
        .refused(401, "unauthorised");
}

#[tokio::test]
async fn a_link_that_was_changed_anywhere_opens_nothing() {
    let (gate, done, path) = with_a_video().await;
    let link = done["download_url"].as_str().unwrap();
    let query = link.split_once('?').unwrap().1;
    let values: Vec<(usize, usize)> = query
        .split('&')
        .map(|pair| {
            let at = pair.as_ptr().addr() - query.as_ptr().addr();
            (at + pair.find('=').unwrap() + 1, at + pair.len())
        })
        .collect();
    assert_eq!(values.len(), 3, "token, signature and expiry: {query}");
    let mut changed = BTreeSet::new();
    for place in values.into_iter().flat_map(|(from, to)| from..to) {
        let mut bytes = query.as_bytes().to_vec();
        bytes[place] = match bytes[place] {
            b'0'..=b'8' | b'a'..=b'y' => bytes[place] + 1,
            b'9' | b'z' => bytes[place] - 1,
            _ => b'0',
        };
        changed.insert(String::from_utf8(bytes).unwrap());
    }
    assert!(
        changed.len() > 100,
        "a token, a signature and an expiry are longer than that"
    );
    let ask = |query: &String| gate.get(&format!("{path}?{query}")).anonymous().send();
    let mut left: Vec<&String> = changed.iter().collect();
    while !left.is_empty() {
        let some = left.split_off(left.len().saturating_sub(32));
        for (answer, query) in futures::future::join_all(some.iter().map(|query| ask(query)))
            .await
            .iter()
            .zip(some)
        {
            assert_eq!(
                answer.status, 403,
                "{query} is answered with {}",
                answer.status
            );
            answer.refused(403, "forbidden");
        }
    }
    // Neither another video nor another output nor a missing part is what was signed.
    let other = gate
        .completed(&Order::of("another").with("sample_count", 2))
        .await;
    gate.get(&format!("/v1/videos/{}/content?{query}", id_of(&other)))
        .anonymous()
        .send()
        .await
        .refused(403, "forbidden");
    let first = other["outputs"][0]["download_url"].as_str().unwrap();
    let second = gate
        .get(other["outputs"][1]["download_url"].as_str().unwrap())
        .anonymous()
        .send()
        .await
        .expect(200);
    for moved in [
        format!("{first}&index=1"),
        format!("{first}&variant=thumbnail"),
    ] {
        let answer = gate.get(&moved).anonymous().send().await;
        assert!(
            answer.status >= 400
                || sha256(&answer.body) == other["asset"]["sha256"].as_str().unwrap(),
            "{moved} opens something else"
        );
        assert!(answer.body != second.body);
    }
    for part in ["download_token", "download_sig", "expires_at"] {
        let without: Vec<&str> = query
            .split('&')
            .filter(|pair| !pair.starts_with(part))
            .collect();
        let answer = gate
            .get(&format!("{path}?{}", without.join("&")))
            .anonymous()
            .send()
            .await;
        assert!(
            [401, 403].contains(&answer.status),
            "without {part}: {}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn links_survive_a_restart_and_are_the_same_afterwards() {
    let (gate, done, _) = with_a_video().await;
    let link = done["download_url"].as_str().unwrap().to_owned();
    let path_and_query = link[link.find("/v1/").unwrap()..].to_owned();
    let gate = gate.restart().await;
    let bytes = gate
        .get(&path_and_query)
        .anonymous()
        .send()
        .await
        .expect(200)
        .body;
    assert_eq!(sha256(&bytes), done["asset"]["sha256"].as_str().unwrap());
}

#[tokio::test]
async fn a_link_that_is_over_is_gone() {
    let (gate, done, path) = with_a_video().await;
    let id = id_of(&done).to_owned();
    let token = done["download_url"].as_str().unwrap();
    let workspace = token
        .split_once("download_token=")
        .unwrap()
        .1
        .split('.')
        .nth(1)
        .unwrap()
        .to_owned();
    // What the gateway would have signed an hour ago, with the keys it keeps.
    let home = gate.stop().await;
    let keys = keys_of(&home).await;
    let grant = LinkGrant {
        workspace: workspace.parse().unwrap(),
        video: id.parse().unwrap(),
        index: 0,
        variant: Variant::Video,
        disposition: Disposition::Attachment,
    };
    let created_at = done["created_at"].as_i64().unwrap();
    let over = keys.sign(&grant, created_at - 3600);
    let good = keys.sign(&grant, created_at + 3600);
    let gate = home.start().await;
    gate.get(&format!("{path}?{good}"))
        .anonymous()
        .send()
        .await
        .expect(200);
    gate.get(&format!("{path}?{over}"))
        .anonymous()
        .send()
        .await
        .refused(410, "link_expired");
    // Which is said before anything is looked up, and only to who holds a true link.
    gate.delete(&format!("/v1/videos/{id}"))
        .send()
        .await
        .expect(200);
    gate.get(&format!("{path}?{over}"))
        .anonymous()
        .send()
        .await
        .refused(410, "link_expired");
    let forged = over.to_string().replace("download_sig=", "download_sig=0");
    gate.get(&format!("{path}?{forged}"))
        .anonymous()
        .send()
        .await
        .refused(403, "forbidden");
}

/// The keys a gateway that is not running signs its links with.
pub(crate) async fn keys_of(home: &Home) -> LinkKeys {
    let store = SqliteStore::open(Config::at(home.data().join("filmgate.db"))).unwrap();
    let store: Arc<dyn Store> = Arc::new(store);
    let text = std::fs::read_to_string(home.data().join("master.key")).unwrap();
    let digits: Vec<u32> = text
        .trim()
        .chars()
        .map(|digit| digit.to_digit(16).unwrap())
        .collect();
    let mut master = [0; 32];
    for (byte, pair) in master.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::try_from(pair[0] * 16 + pair[1]).unwrap();
    }
    let keys = link_keys(
        store.as_ref(),
        &MasterKey::new(&master),
        UnixTime::from_seconds(0),
    )
    .await
    .unwrap();
    store.close().await;
    keys
}

#[tokio::test]
async fn a_download_url_lasts_as_asked_for() {
    let (gate, done, _) = with_a_video().await;
    let path = format!("/v1/videos/{}/download_url", id_of(&done));
    let now = done["completed_at"].as_i64().unwrap();
    let ask = |body: Value| gate.post(&path).json(&body).send();
    for (body, least, most) in [
        (json!({}), 900, 1800),
        (json!({"ttl_seconds": 3600}), 3600, 4500),
        (json!({"ttl_seconds": 1}), 60, 960),
        (json!({"ttl_seconds": 59}), 60, 960),
    ] {
        let made = ask(body.clone()).await.expect(200).json();
        let lasts = made["expires_at"].as_i64().unwrap() - now;
        assert!((least..=most).contains(&lasts), "{body} lasts {lasts} s");
        let url = made["download_url"].as_str().unwrap();
        assert_eq!(
            sha256(&gate.get(url).anonymous().send().await.expect(200).body),
            done["asset"]["sha256"].as_str().unwrap()
        );
    }
    // Without a body at all, too.
    gate.post(&path).send().await.expect(200);
    let inline = ask(json!({"disposition": "inline"}))
        .await
        .expect(200)
        .json();
    let shown = gate
        .get(inline["download_url"].as_str().unwrap())
        .anonymous()
        .send()
        .await
        .expect(200);
    assert!(shown.header("content-disposition").starts_with("inline"));
    let thumbnail = ask(json!({"variant": "thumbnail", "index": 0}))
        .await
        .expect(200)
        .json();
    let shown = gate
        .get(thumbnail["download_url"].as_str().unwrap())
        .anonymous()
        .send()
        .await
        .expect(200);
    assert_eq!(shown.header("content-type"), "image/jpeg");

    for (body, field) in [
        (json!({"ttl_seconds": 0}), "ttl_seconds"),
        (json!({"ttl_seconds": 3601}), "ttl_seconds"),
        (json!({"ttl_seconds": "long"}), "ttl_seconds"),
        (json!({"disposition": "sideways"}), "disposition"),
        (json!({"variant": "poster"}), "variant"),
        (json!({"banana": 1}), "banana"),
    ] {
        ask(body).await.refused_field("validation_error", field);
    }
    ask(json!({"index": 1})).await.refused(404, "not_found");
}

// Not ready.

#[tokio::test]
async fn there_is_nothing_to_fetch_before_the_video_is_completed() {
    let gate = Gate::start().await;
    let under_way = gate.create(&Order::of("under way").endless()).await;
    let failed = gate
        .run_to_end(&Order::of("failed").simulate(json!({"fail": "provider_error"})))
        .await;
    let cancelled = gate.create(&Order::of("cancelled").endless()).await;
    gate.cancel(id_of(&cancelled)).await;
    for (video, reason) in [
        (&under_way, "video_not_ready"),
        (&failed, "video_generation_failed"),
        (&cancelled, "video_cancelled"),
    ] {
        let path = format!("/v1/videos/{}", id_of(video));
        let refused = gate.get(&format!("{path}/content")).send().await;
        assert_eq!(refused.refused(409, "not_ready")["reason"], reason);
        assert_eq!(refused.header("x-should-retry"), "false");
        let refused = gate
            .post(&format!("{path}/download_url"))
            .json(&json!({}))
            .send()
            .await;
        let body = refused.refused(400, "validation_error");
        assert_eq!(body["reason"], "video_download_requires_completed_status");
    }
}

#[tokio::test]
async fn content_of_a_video_that_is_not_there_is_not_found() {
    let gate = Gate::start().await;
    let calls: [Call; 3] = [
        gate.get(&format!("/v1/videos/video_{}/content", "0".repeat(26))),
        gate.get("/v1/videos/nonsense/content"),
        gate.get("/v1/videos/..%2f..%2fmaster.key/content"),
    ];
    for call in calls {
        call.send().await.refused(404, "not_found");
    }
}
