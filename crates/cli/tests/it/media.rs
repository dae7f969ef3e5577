//! What is delivered plays: ffprobe measures it, ffmpeg decodes all of it, and both agree with the status.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::gate::{Gate, id_of};
use crate::order::{Order, data_url, picture};

/// Runs one of ffmpeg's tools, which have to be there, and expects it to find nothing wrong.
async fn tool(name: &str, arguments: &[&str], file: &Path) -> String {
    let done = Command::new(name)
        .args(arguments)
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .await;
    told(name, done)
}

/// What a tool printed; anything on standard error is a complaint.
fn told(name: &str, done: std::io::Result<std::process::Output>) -> String {
    let done = done.unwrap_or_else(|error| panic!("{name} is needed for these tests: {error}"));
    let complaints = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success() && complaints.is_empty(),
        "{name} complains: {complaints}"
    );
    String::from_utf8(done.stdout).unwrap()
}

async fn probe(file: &Path) -> Value {
    let arguments = [
        "-v",
        "error",
        "-show_streams",
        "-show_format",
        "-count_packets",
        "-of",
        "json",
    ];
    serde_json::from_str(&tool("ffprobe", &arguments, file).await).unwrap()
}

/// Decodes every sample of every track.
async fn decode(file: &Path) {
    let done = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-xerror", "-i"])
        .arg(file)
        .args(["-map", "0", "-f", "null", "-"])
        .stdin(Stdio::null())
        .output()
        .await;
    assert_eq!(told("ffmpeg", done), "");
}

/// Orders a video and holds every output against what its status says.
async fn is_as_told(order: Order, audio: bool) {
    let gate = Gate::start().await;
    let done = gate.completed(&order).await;
    assert_eq!(done["audio"], audio, "{done:#}");
    for output in done["outputs"].as_array().unwrap() {
        let bytes = gate
            .get(output["content_url"].as_str().unwrap())
            .send()
            .await
            .expect(200)
            .body;
        let file = gate
            .home()
            .path()
            .join(format!("{}-{}.mp4", id_of(&done), output["index"]));
        std::fs::write(&file, &bytes).unwrap();
        decode(&file).await;
        let found = probe(&file).await;
        assert!(
            found["format"]["format_name"]
                .as_str()
                .unwrap()
                .contains("mp4")
        );
        let streams = found["streams"].as_array().unwrap();
        let of_kind = |kind: &str| {
            streams
                .iter()
                .filter(|stream| stream["codec_type"] == kind)
                .collect::<Vec<_>>()
        };
        let [video] = of_kind("video")[..] else {
            panic!("not one video track: {found:#}")
        };
        assert_eq!(
            (&video["codec_name"], &video["pix_fmt"]),
            (&json!("h264"), &json!("yuv420p")),
            "what every browser plays"
        );
        assert_eq!(
            (&video["width"], &video["height"]),
            (&output["width"], &output["height"])
        );
        let told = output["duration_seconds"].as_f64().unwrap();
        let measured: f64 = video["duration"].as_str().unwrap().parse().unwrap();
        assert!(
            (measured - told).abs() < 0.002,
            "{told} s are told and {measured} s measured"
        );
        assert!((told - done["seconds"].as_f64().unwrap()).abs() < f64::EPSILON);
        let packets: u64 = video["nb_read_packets"].as_str().unwrap().parse().unwrap();
        assert_eq!(
            packets,
            (told * 24.0).round() as u64,
            "24 pictures a second"
        );
        let sounds = of_kind("audio");
        assert_eq!(sounds.len(), usize::from(audio));
        for sound in sounds {
            assert_eq!(sound["codec_name"], "aac");
            let length: f64 = sound["duration"].as_str().unwrap().parse().unwrap();
            assert!(
                (length - told).abs() < 0.1,
                "{length} s of sound to {told} s of picture"
            );
        }
    }
    gate.stop().await.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn landscape_without_sound() {
    is_as_told(Order::of("a boat"), false).await;
}

#[tokio::test]
async fn landscape_with_sound() {
    is_as_told(
        Order::of("a boat with a horn")
            .with("generate_audio", true)
            .with("duration", 2),
        true,
    )
    .await;
}

#[tokio::test]
async fn portrait_with_sound() {
    is_as_told(
        Order::of("a tower")
            .with("size", "180x320")
            .with("generate_audio", true),
        true,
    )
    .await;
}

#[tokio::test]
async fn square_without_sound() {
    is_as_told(Order::of("a plate").with("size", "180x180"), false).await;
}

#[tokio::test]
async fn a_size_chosen_by_resolution_and_aspect_ratio() {
    let order = Order::of("a door")
        .without("size")
        .with("resolution", "360P")
        .with("aspect_ratio", "9:16");
    is_as_told(order, false).await;
}

#[tokio::test]
async fn a_width_that_is_no_multiple_of_sixteen() {
    is_as_told(Order::of("a plank").with("size", "854x480"), false).await;
}

#[tokio::test]
async fn several_samples_from_a_picture_with_sound() {
    let order = Order::of("twins")
        .with("sample_count", 2)
        .with("generate_audio", true);
    is_as_told(order.with("input_reference", data_url(&picture(200))), true).await;
}

#[tokio::test]
async fn a_prompt_in_many_scripts_and_of_the_longest_length() {
    let prompt = format!(
        "{}{}",
        "Ω 汉字 \u{202e}rtl 🎬 \u{0} \n\t",
        "long ".repeat(6_000)
    );
    let prompt: String = prompt.chars().take(32_000).collect();
    is_as_told(Order::of(&prompt), false).await;
}
