//! What only a bucket does, and what becomes of us when it does it wrong.

use std::error::Error;
use std::num::NonZero;

use filmgate_testbed::s3::{Fault as Wrong, Kind};

use super::*;
use crate::config::Addressing;
use crate::put::PutError;
use crate::{Fault, Place};

const MEGABYTE: usize = 1 << 20;

impl House {
    async fn put_large(&self, content: &Bytes) -> Result<(), PutError> {
        let (workspace, video) = owner();
        let key = ObjectKey::output(workspace, video, 1, 0);
        let spooled = self.spool(content.clone()).await;
        self.assets.put_output(spooled, &key).await.map(drop)
    }

    fn impatient() -> Self {
        Self::on_a_bucket_with(|config| config.stall_seconds = NonZero::new(2).unwrap())
    }

    fn with_links() -> Self {
        Self::on_a_bucket_with(|config| config.redirect = true)
    }

    async fn link(&self, key: &ObjectKey) -> String {
        let described = Described {
            content_type: "video/mp4",
            content_disposition: "attachment; filename=\"a video & more.mp4\"",
        };
        let lasts = Duration::from_secs(900);
        let link = self.assets.signed_get(key, lasts, described).await;
        link.unwrap().expose().to_owned()
    }
}

/// The whole chain of what went wrong, as a log shows it.
fn told(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    let chain: Vec<_> = chain.map(ToString::to_string).collect();
    chain.join(": ")
}

#[tokio::test]
async fn a_small_object_goes_up_in_one_request_and_a_large_one_in_parts_of_a_fixed_size() {
    let house = House::on_a_bucket();
    let faults = house.server().faults();
    house.put_large(&noise(8 * MEGABYTE)).await.unwrap();
    assert_eq!(faults.requests(Kind::Put), 1);
    assert_eq!(faults.requests(Kind::Head), 1, "it is asked for afterwards");

    // 8 + 8 + 4 MiB and a byte: what is in memory depends on the parts, not on the object.
    house.put_large(&noise(20 * MEGABYTE + 1)).await.unwrap();
    assert_eq!(faults.requests(Kind::Part), 3);
    assert_eq!(faults.requests(Kind::Complete), 1);
    assert_eq!(faults.requests(Kind::Put), 1 + 1 + 3 + 1);
    assert_eq!(faults.requests(Kind::Head), 2);
    assert_eq!(house.server().unfinished(), 0);
}

#[tokio::test]
async fn uploads_that_share_the_room_for_a_single_part_all_come_to_their_end() {
    let house = House::on_a_bucket();
    let Place::Bucket(bucket) = &house.assets.place else {
        panic!("it is one");
    };
    bucket
        .parts
        .forget_permits(bucket.parts.available_permits() - 1);
    let content = noise(17 * MEGABYTE);
    let uploads = (1..=3).map(async |attempt| {
        let (workspace, video) = owner();
        let key = ObjectKey::output(workspace, video, attempt, 0);
        let spooled = house.spool(content.clone()).await;
        house.assets.put_output(spooled, &key).await
    });
    for uploaded in futures::future::join_all(uploads).await {
        assert_eq!(uploaded.unwrap().bytes, 17 << 20);
    }
    assert_eq!(bucket.parts.available_permits(), 1);
    assert_eq!(house.server().faults().requests(Kind::Part), 9);
}

#[tokio::test]
async fn a_large_object_is_read_in_small_pieces() {
    let house = House::on_a_bucket();
    house.put_large(&noise(10 * MEGABYTE)).await.unwrap();
    let (workspace, video) = owner();
    let key = ObjectKey::output(workspace, video, 1, 0);
    let reading = house.assets.read_range(&key, 0..10 << 20).await.unwrap();
    let largest = reading.try_fold((0, 0), async |(all, largest), piece| {
        Ok((all + piece.len(), piece.len().max(largest)))
    });
    let (all, largest) = largest.await.unwrap();
    assert_eq!(all, 10 * MEGABYTE);
    assert!(largest <= MEGABYTE, "{largest}");
}

#[tokio::test]
async fn wrong_keys_are_told_as_what_they_are() {
    for (id, secret, reason) in [
        (S3Server::ACCESS_KEY_ID, "wrong", "SignatureDoesNotMatch"),
        ("nobody", S3Server::SECRET_ACCESS_KEY, "NotSignedUp"),
    ] {
        let house = House::on_a_bucket_with(|config| {
            config.access_key_id = Some(id.into());
            config.secret_access_key = Some(Secret::new(secret));
        });
        let refused = house.assets.put_bytes(&input(0), noise(3)).await;
        let refused = refused.unwrap_err().source;
        assert!(
            told(&refused).contains("the bucket refuses us"),
            "{refused}"
        );
        assert!(told(&refused).contains(reason), "{refused}");
        assert!(!refused.may_pass());
        assert!(!told(&refused).contains(secret));
        let refused = house.assets.ping().await.unwrap_err();
        assert!(matches!(refused, Fault::Refused { reason: told, .. } if told == reason));
        let read = house.assets.read_range(&input(0), 0..1).await.unwrap_err();
        assert!(matches!(&read, ReadError::Fault(Fault::Refused { .. })));
        assert!(!read.may_pass());
        let faults = house.server().faults();
        assert_eq!(faults.requests(Kind::Any), 3, "nothing is tried again");
        assert!(house.objects().is_empty());
    }
}

#[tokio::test]
async fn a_missing_bucket_is_not_taken_for_a_missing_object() {
    let house = House::on_a_bucket();
    house.server().remove_bucket();
    let refused = house.assets.ping().await.unwrap_err();
    assert!(matches!(&refused, Fault::Refused { reason, .. } if reason == "NoSuchBucket"));
    let (workspace, video) = owner();
    let refused = house.assets.delete_video(workspace, video).await;
    assert!(!refused.unwrap_err().may_pass());
}

#[tokio::test]
async fn a_bucket_that_fails_now_and_then_is_not_noticed() {
    let house = House::on_a_bucket();
    let faults = house.server().faults();
    for wrong in [Wrong::InternalError, Wrong::SlowDown, Wrong::Full] {
        faults.next(2, Kind::Any, wrong);
        house.put(&input(0), b"bytes").await;
        faults.next(2, Kind::Any, wrong);
        assert_eq!(house.read(&input(0), 0..5).await, b"bytes");
        faults.next(2, Kind::Any, wrong);
        assert_eq!(house.assets.read_all(&input(0), 5).await.unwrap(), "bytes");
        faults.next(2, Kind::Any, wrong);
        house.assets.ping().await.unwrap();
        faults.next(2, Kind::Any, wrong);
        let (workspace, video) = owner();
        house.assets.delete_video(workspace, video).await.unwrap();
        assert!(house.objects().is_empty());
    }
}

#[tokio::test]
async fn a_bucket_that_goes_on_failing_is_an_error_until_it_works_again() {
    let house = House::on_a_bucket();
    let faults = house.server().faults();
    let (workspace, video) = owner();
    house.put(&input(0), b"old").await;
    for wrong in [Wrong::InternalError, Wrong::SlowDown, Wrong::Full] {
        faults.always(Kind::Any, wrong);
        let asked = faults.requests(Kind::Put);
        let put = house.assets.put_bytes(&input(0), noise(7)).await;
        assert!(put.unwrap_err().source.may_pass());
        assert_eq!(faults.requests(Kind::Put) - asked, 4, "one and three more");
        let read = house.assets.read_range(&input(0), 0..3).await;
        assert!(read.unwrap_err().may_pass());
        let read = house.assets.read_all(&input(0), 3).await;
        assert!(read.unwrap_err().may_pass());
        assert!(house.assets.head(&input(0)).await.unwrap_err().may_pass());
        assert!(house.assets.delete(&input(0)).await.unwrap_err().may_pass());
        let deleted = house.assets.delete_video(workspace, video).await;
        assert!(deleted.unwrap_err().may_pass());
        assert!(house.assets.ping().await.unwrap_err().may_pass());

        faults.clear();
        house.assets.ping().await.unwrap();
        assert_eq!(house.read(&input(0), 0..3).await, b"old");
        house.put(&input(0), b"new").await;
        assert_eq!(house.read(&input(0), 0..3).await, b"new");
        house.put(&input(0), b"old").await;
    }
}

#[tokio::test]
async fn an_upload_in_parts_that_fails_leaves_nothing_and_works_the_next_time() {
    let house = House::on_a_bucket();
    let faults = house.server().faults();
    let content = noise(17 * MEGABYTE);
    for (kind, wrong) in [
        (Kind::Put, Wrong::SlowDown),
        (Kind::Part, Wrong::Full),
        (Kind::Complete, Wrong::InternalError),
    ] {
        faults.always(kind, wrong);
        let failed = house.put_large(&content).await.unwrap_err();
        assert!(failed.source.may_pass(), "{kind:?}");
        assert_eq!(house.server().unfinished(), 0, "{kind:?}");
        assert!(house.objects().is_empty(), "{kind:?}");
        assert!(house.has_spooled_nothing(), "{kind:?}");
        faults.clear();
    }
    // Of three parts under way at once, one fails.
    faults.next(1, Kind::Part, Wrong::InternalError);
    house.put_large(&content).await.unwrap();
    assert_eq!(house.server().unfinished(), 0);
    assert_eq!(house.objects().len(), 1);
}

#[tokio::test]
async fn what_the_bucket_has_less_of_than_was_put_counts_as_not_put() {
    let house = House::on_a_bucket();
    let faults = house.server().faults();
    faults.next(1, Kind::Head, Wrong::ShortenedTo(3));
    let put = house.assets.put_bytes(&input(0), noise(7)).await;
    let fault = put.unwrap_err().source;
    assert!(matches!(fault, Fault::NotWhole { put: 7, kept: 3 }));
    assert!(fault.may_pass());
}

#[tokio::test]
async fn a_bucket_that_does_nothing_is_given_up_and_works_once_it_does() {
    let house = House::impatient();
    let faults = house.server().faults();
    house.put(&input(0), b"bytes").await;

    faults.always(Kind::Any, Wrong::Stall);
    let asked = faults.requests(Kind::Any);
    let put = house.assets.put_bytes(&input(1), noise(7)).await;
    let put = put.unwrap_err().source;
    assert!(put.may_pass());
    assert!(
        told(&put).contains("nothing came for 2 s"),
        "{}",
        told(&put)
    );
    let read = house.assets.read_range(&input(0), 0..5).await;
    assert!(read.unwrap_err().may_pass());
    assert!(house.assets.ping().await.unwrap_err().may_pass());
    assert_eq!(
        faults.requests(Kind::Any) - asked,
        3,
        "what has stalled is not tried again at once"
    );

    faults.clear();
    faults.always(Kind::Get, Wrong::StallAfter(2));
    let reading = house.assets.read_range(&input(0), 0..5).await.unwrap();
    let broken = reading.try_collect::<Vec<_>>().await.unwrap_err();
    assert!(broken.may_pass());
    assert!(
        told(&broken).contains("nothing came for 2 s"),
        "{}",
        told(&broken)
    );

    faults.clear();
    house.assets.ping().await.unwrap();
    house.put(&input(1), b"bytes").await;
    assert_eq!(house.read(&input(0), 0..5).await, b"bytes");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_taken_up_where_it_did() {
    let house = House::on_a_bucket();
    let content = noise(MEGABYTE);
    let put = house.assets.put_bytes(&input(0), content.clone()).await;
    put.unwrap();
    let faults = house.server().faults();
    for bytes in [0, 1000] {
        faults.next(2, Kind::Get, Wrong::CutAfter(bytes));
        assert!(house.read(&input(0), 0..1 << 20).await == content);
        faults.next(2, Kind::Get, Wrong::CutAfter(bytes));
        let read = house.assets.read_all(&input(0), 1 << 20).await;
        assert!(read.unwrap() == content);
    }
}

#[tokio::test]
async fn an_answer_that_stays_short_is_an_error_and_never_a_short_object() {
    let house = House::on_a_bucket();
    let content = noise(MEGABYTE);
    let put = house.assets.put_bytes(&input(0), content.clone()).await;
    put.unwrap();
    let faults = house.server().faults();
    for wrong in [Wrong::CutAfter(1000), Wrong::ShortenedTo(1000)] {
        faults.always(Kind::Get, wrong);
        let mut reading = house
            .assets
            .read_range(&input(0), 0..1 << 20)
            .await
            .unwrap();
        let mut got = Vec::new();
        let fault = loop {
            match reading.try_next().await {
                Ok(Some(piece)) => got.extend_from_slice(&piece),
                Ok(None) => panic!("{wrong:?}: it ended after {} bytes", got.len()),
                Err(fault) => break fault,
            }
        };
        assert!(fault.may_pass(), "{wrong:?}");
        assert!(got.len() < MEGABYTE && content.starts_with(&got));
        assert_eq!(reading.try_next().await.unwrap(), None, "it is over");
        let read = house.assets.read_all(&input(0), 1 << 20).await;
        assert!(read.is_err_and(|error| error.may_pass()), "{wrong:?}");

        faults.clear();
        assert!(house.read(&input(0), 0..1 << 20).await == content);
    }
}

#[tokio::test]
async fn a_sweep_that_breaks_off_is_an_error_and_the_next_one_does_the_rest() {
    let house = House::on_a_bucket();
    for number in 0..3 {
        house.put(&input(number), b"x").await;
    }
    let put = house.assets.head(&input(2)).await.unwrap().last_modified;
    let tomorrow = put.plus(SWEEP_AFTER).plus(Duration::from_secs(60));
    let nothing = async |_: Vec<ObjectKey>| Ok::<_, Infallible>(HashSet::new());
    let faults = house.server().faults();
    for kind in [Kind::List, Kind::Delete] {
        faults.always(kind, Wrong::SlowDown);
        assert!(house.assets.sweep(tomorrow, nothing).await.is_err());
        assert_eq!(house.objects().len(), 3, "{kind:?}");
        faults.clear();
    }
    // Who cannot tell what is known loses nothing either.
    let cannot_tell = async |_: Vec<ObjectKey>| Err(io::Error::other("the store is away"));
    assert!(house.assets.sweep(tomorrow, cannot_tell).await.is_err());
    assert_eq!(house.objects().len(), 3);

    let swept = house.assets.sweep(tomorrow, nothing).await.unwrap();
    assert_eq!(swept.removed, 3);
    assert!(house.objects().is_empty());
}

#[tokio::test]
async fn a_link_to_the_bucket_gives_the_object_or_a_range_of_it_to_anybody() {
    let house = House::with_links();
    house.put(&input(0), b"a video").await;
    let link = house.link(&input(0)).await;
    let client = reqwest::Client::new();

    let answer = client.get(&link).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "video/mp4");
    assert_eq!(
        answer.headers()["content-disposition"],
        "attachment; filename=\"a video & more.mp4\""
    );
    assert_eq!(answer.bytes().await.unwrap(), "a video");

    let part = client.get(&link).header("range", "bytes=2-4").send().await;
    let part = part.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), "vid");
}

#[tokio::test]
async fn a_changed_link_to_the_bucket_gives_nothing() {
    let house = House::with_links();
    house.put(&input(0), b"a video").await;
    house.put(&input(1), b"another").await;
    let link = house.link(&input(0)).await;
    let client = reqwest::Client::new();
    let answered = async |link: String| client.get(link).send().await.unwrap().status();

    // One digit more or less in each of these.
    for before in [
        "X-Amz-Signature=",
        "X-Amz-Expires=",
        "X-Amz-Date=",
        "response-content-type=",
        "filename",
    ] {
        let place = link.find(before).expect(before) + before.len();
        let mut changed = link.clone().into_bytes();
        changed[place] = if changed[place] == b'1' { b'2' } else { b'1' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(answered(changed).await, 403, "{before}");
    }
    // The same link on another object.
    let other = link.replace("/input/0?", "/input/1?");
    assert_ne!(other, link);
    assert_eq!(answered(other).await, 403);
    // Another method than it was made for.
    let deleted = client.delete(&link).send().await.unwrap();
    assert_eq!(deleted.status(), 403);
    assert_eq!(answered(link).await, 200);
}

#[tokio::test]
async fn a_link_to_the_bucket_ends() {
    let house = House::with_links();
    house.put(&input(0), b"a video").await;
    let described = Described {
        content_type: "video/mp4",
        content_disposition: "inline",
    };
    let link = house
        .assets
        .signed_get(&input(0), Duration::ZERO, described)
        .await
        .unwrap();
    let answer = reqwest::get(link.expose()).await.unwrap();
    assert_eq!(answer.status(), 403);
    let week = Duration::from_secs(7 * 24 * 3600);
    let object = input(0);
    let link = house.assets.signed_get(&object, week * 2, described);
    let link = link.await.unwrap();
    assert!(link.expose().contains("X-Amz-Expires=604800&"));
    assert_eq!(format!("{link:?}"), "BucketLink(…)");
}

#[tokio::test]
async fn the_bucket_s_name_stands_where_it_was_wanted() {
    for (endpoint, addressing, expected) in [
        (
            Some("https://s3.example.com:9000"),
            Addressing::Path,
            "https://s3.example.com:9000/filmgate/videos/eu/",
        ),
        (
            Some("https://s3.example.com:9000/"),
            Addressing::VirtualHosted,
            "https://filmgate.s3.example.com:9000/videos/eu/",
        ),
        (
            None,
            Addressing::Path,
            "https://s3.eu-central-1.amazonaws.com/filmgate/videos/eu/",
        ),
        (
            None,
            Addressing::VirtualHosted,
            "https://filmgate.s3.eu-central-1.amazonaws.com/videos/eu/",
        ),
    ] {
        let house = House::on_a_bucket_with(|config| {
            config.endpoint = endpoint.map(Into::into);
            config.region = Some("eu-central-1".into());
            config.addressing = addressing;
            config.redirect = true;
        });
        let link = house.link(&input(0)).await;
        assert!(link.starts_with(expected), "{link}");
    }
}

#[tokio::test]
async fn a_directory_that_is_gone_does_not_answer_a_ping() {
    let house = House::on_a_directory();
    std::fs::remove_dir_all(house.directory.path().join("assets")).unwrap();
    let fault = house.assets.ping().await.unwrap_err();
    assert!(matches!(fault, Fault::Disk(_)));
}
