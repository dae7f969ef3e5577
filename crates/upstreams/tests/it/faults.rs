//! Each directive, as a client meets it. Where a client would hide the fault, over a plain connection.

use filmgate_upstreams::openai_compatible::Flavour;

use crate::client::Bench;

#[tokio::test]
async fn a_connection_cut_before_the_answer_brings_not_a_byte() {
    let bench = Bench::of(Flavour::OpenAi).await;
    for (prompt, accepted) in [
        ("#fault=drop-before-accept", 0),
        ("#fault=drop-after-accept", 1),
    ] {
        assert_eq!(bench.raw_submit(prompt).await, b"");
        let counts = bench.emulator().prompt_counts(prompt);
        assert_eq!((counts.submits, counts.accepted), (1, accepted));
        assert!(bench.submit(prompt).await.unwrap_err().is_request());
    }
}

#[tokio::test]
async fn a_file_that_is_cut_off_says_how_long_it_should_be_or_nothing() {
    let bench = Bench::of(Flavour::OpenAi).await;
    let whole = bench.ended("a fox").await;
    let whole = bench.content(&whole).await.unwrap().body;
    let half = &whole[..whole.len() / 2];

    let lying = bench.ended("#fault=short-file-lying").await;
    let path = format!("/videos/{lying}/content");
    let (head, body) = bench.raw_get(&path).await;
    assert!(head.contains(&format!("content-length: {}", whole.len())));
    assert!(body == half, "{} of {} bytes came", body.len(), whole.len());
    assert!(bench.content(&lying).await.unwrap_err().is_decode());

    let chunked = bench.ended("#fault=short-chunked").await;
    let path = format!("/videos/{chunked}/content");
    let (head, body) = bench.raw_get(&path).await;
    assert!(head.contains("transfer-encoding: chunked"));
    assert!(body.len() > half.len() && !body.ends_with(b"0\r\n\r\n"));
    assert!(bench.content(&chunked).await.unwrap_err().is_decode());
}
