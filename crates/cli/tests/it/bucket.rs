//! Videos in a bucket, as clients see them.

use crate::fleet::{Fleet, order};

#[tokio::test]
async fn whoever_comes_by_a_signed_link_is_sent_to_the_bucket_where_the_operator_says_so() {
    let fleet = Fleet::on_postgres().await;
    let fleet = fleet.configured("[assets]\nredirect = true");
    let gate = fleet.gate().await;
    let video = gate.completed(&order("a boat")).await;
    let link = video["download_url"].as_str().unwrap();
    let sent_on = gate.get(link).anonymous().send().await.expect(302);
    assert_eq!(sent_on.header("cache-control"), "no-store");
    let there = sent_on.header("location");
    assert!(
        there.starts_with(&fleet.shared().bucket.endpoint()),
        "{there}"
    );

    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let fetched = http.get(there).send().await.unwrap();
    assert_eq!(fetched.status(), 200);
    let told = |name: &str| fetched.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(told("content-type"), "video/mp4");
    let name = format!(
        "attachment; filename=\"{}.mp4\"",
        crate::gate::id_of(&video)
    );
    assert_eq!(told("content-disposition"), name);
    let bytes = fetched.bytes().await.unwrap();
    assert_eq!(crate::gate::sha256(&bytes), video["asset"]["sha256"]);

    let signature = there.split_once("X-Amz-Signature=").unwrap().1;
    let other = if signature.starts_with('0') { "1" } else { "0" };
    let forged = there.replace(signature, &format!("{other}{}", &signature[1..]));
    assert_eq!(http.get(forged).send().await.unwrap().status(), 403);
    // With a key the bytes come from here, and so does what is asked without wanting them.
    assert_eq!(gate.bytes(&video).await, bytes);
    let head = gate.call(reqwest::Method::HEAD, link).anonymous();
    head.send().await.expect(200);
    let etag = format!("\"{}\"", video["asset"]["sha256"].as_str().unwrap());
    let known = gate.get(link).anonymous().header("if-none-match", &etag);
    known.send().await.expect(304);
}
