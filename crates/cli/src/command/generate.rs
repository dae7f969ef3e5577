//! `filmgate generate` and `filmgate quote`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use futures::StreamExt;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::reach::Reached;
use super::{Context, videos};
use crate::client::Client;
use crate::print;

/// What is ordered.
#[derive(Debug, clap::Args)]
pub(crate) struct Order {
    /// What the video shows.
    prompt: String,
    #[arg(long, default_value = "filmgate/testcard")]
    model: String,
    /// Length in whole seconds; the model's default when not given.
    #[arg(long)]
    seconds: Option<u32>,
    /// Width and height, such as 1280x720.
    #[arg(long, value_name = "WxH")]
    size: Option<String>,
    /// Such as 720p.
    #[arg(long)]
    resolution: Option<String>,
    /// Such as 16:9.
    #[arg(long, value_name = "W:H")]
    aspect_ratio: Option<String>,
    #[arg(long)]
    seed: Option<i64>,
    /// With sound.
    #[arg(long)]
    audio: bool,
    /// A picture the video begins with.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// How many videos of this order, 1 to 4.
    #[arg(long, value_name = "N")]
    samples: Option<u32>,
    /// The most it may cost, in US dollars.
    #[arg(long, value_name = "USD")]
    max_cost: Option<String>,
    /// Options of one provider, as a JSON object.
    #[arg(long, value_name = "JSON")]
    provider_params: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    order: Order,
    /// Where the video is written; the video's id and .mp4 when not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn run(context: Context, args: Args) -> Result<ExitCode> {
    let body = args.order.body()?;
    let json = context.json;
    if let Some(out) = &args.out {
        check_writable(out)?;
    }
    let reached = Reached::reach(context).await?;
    let client = reached.client.clone();
    let done = async {
        let made = client.call(Method::POST, "/v1/videos", Some(&body)).await?;
        let id = videos::text(&made, "id");
        if !json {
            print::note(format!("video {id}"));
        }
        let video = videos::follow(&client, &id, !json).await?;
        if videos::text(&video, "status") != "completed" {
            videos::show(&video, json);
            return Ok(ExitCode::FAILURE);
        }
        let files = save_all(&client, &video, args.out.as_deref()).await?;
        tell(&video, &files, json);
        Ok(ExitCode::SUCCESS)
    };
    let done = done.await;
    reached.finish(done).await
}

pub(crate) async fn quote(context: Context, order: Order) -> Result<ExitCode> {
    let body = order.body()?;
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let quoted = reached
        .client
        .call(Method::POST, "/v1/videos/quote", Some(&body))
        .await;
    let quoted = reached.finish(quoted).await?;
    if json {
        print::json(&quoted);
    } else {
        let amount = |name: &str| {
            quoted[name]
                .as_i64()
                .and_then(filmgate_core::money::Nanos::new)
        };
        match amount("quote_nanos") {
            Some(quote) => print::line(format!(
                "{quote} USD, of which {} USD is held until it is done",
                amount("hold_nanos").unwrap_or_default()
            )),
            None => print::line("no price is known for this model"),
        }
        for provider in quoted["route"].as_array().into_iter().flatten() {
            print::line(format!("  by {}", provider.as_str().unwrap_or_default()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Saves every output. The first is `out`; others get their number before the extension.
pub(crate) async fn save_all(
    client: &Client,
    video: &Value,
    out: Option<&Path>,
) -> Result<Vec<PathBuf>> {
    let id = videos::text(video, "id");
    let outputs = video["outputs"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut files = Vec::new();
    for output in outputs {
        let index = output["index"].as_u64().unwrap_or(0);
        let first = out.map_or_else(|| PathBuf::from(format!("{id}.mp4")), Path::to_path_buf);
        let path = if index == 0 {
            first
        } else {
            numbered(&first, index + 1)
        };
        save(client, &id, output, &path).await?;
        files.push(path);
    }
    Ok(files)
}

/// Downloads one output next to its place and moves it there once it is whole and as announced.
async fn save(client: &Client, id: &str, output: &Value, path: &Path) -> Result<()> {
    use sha2::{Digest, Sha256};
    let index = output["index"].as_u64().unwrap_or(0);
    let answer = client
        .download(&format!("/v1/videos/{id}/content?index={index}"))
        .await?;
    let unfinished = path.with_added_extension("part");
    let mut file = std::fs::File::create(&unfinished)
        .with_context(|| format!("{} cannot be written", unfinished.display()))?;
    let mut hash = Sha256::new();
    let mut bytes = answer.bytes_stream();
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.context("the download broke off")?;
        hash.update(&chunk);
        file.write_all(&chunk)
            .with_context(|| format!("{} cannot be written", unfinished.display()))?;
    }
    file.sync_all()?;
    let digest: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if output["sha256"].as_str() != Some(digest.as_str()) {
        std::fs::remove_file(&unfinished).ok();
        bail!("the download of output {index} is not what the gateway stored; try again");
    }
    std::fs::rename(&unfinished, path)
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn tell(video: &Value, files: &[PathBuf], json: bool) {
    if json {
        let mut video = video.clone();
        video["files"] = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        print::json(&video);
        return;
    }
    let cost = video["billing"]["settled_user_cost"].as_str();
    for (file, output) in files
        .iter()
        .zip(video["outputs"].as_array().into_iter().flatten())
    {
        print::line(format!("file    {}", file.display()));
        print::line(format!(
            "size    {}x{}, {} s, {} bytes",
            output["width"], output["height"], output["duration_seconds"], output["bytes"]
        ));
        print::line(format!(
            "sha256  {}",
            output["sha256"].as_str().unwrap_or_default()
        ));
    }
    match cost {
        Some(cost) => print::line(format!("cost    {cost} USD")),
        None => print::line("cost    not known"),
    }
    for missing in video["outputs_missing"].as_array().into_iter().flatten() {
        print::note(format!(
            "missing: {}",
            missing["message"].as_str().unwrap_or_default()
        ));
    }
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path
        .extension()
        .map(|extension| format!(".{}", extension.to_string_lossy()))
        .unwrap_or_default();
    path.with_file_name(format!("{stem}-{number}{extension}"))
}

/// A place that cannot be written is found out before any money is spent.
fn check_writable(out: &Path) -> Result<()> {
    let parent = out
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if out.is_dir() || !parent.is_dir() {
        bail!(
            "--out: {} was given, and a file in an existing directory is allowed",
            out.display()
        );
    }
    Ok(())
}

impl Order {
    fn body(&self) -> Result<Value> {
        let mut body = Map::new();
        body.insert("model".to_owned(), json!(self.model));
        body.insert("prompt".to_owned(), json!(self.prompt));
        let mut put = |name: &str, value: Option<Value>| {
            value.map(|value| body.insert(name.to_owned(), value))
        };
        put("duration", self.seconds.map(Value::from));
        put("size", self.size.clone().map(Value::from));
        put("resolution", self.resolution.clone().map(Value::from));
        put("aspect_ratio", self.aspect_ratio.clone().map(Value::from));
        put("seed", self.seed.map(Value::from));
        put("generate_audio", self.audio.then_some(Value::Bool(true)));
        put("sample_count", self.samples.map(Value::from));
        put("max_cost", self.max_cost.clone().map(Value::from));
        if let Some(image) = &self.image {
            let bytes = std::fs::read(image)
                .with_context(|| format!("--image: {} cannot be read", image.display()))?;
            let data = base64::engine::general_purpose::STANDARD.encode(bytes);
            // The gateway looks at the bytes themselves; the type in the address is a formality.
            let reference = json!({"type": "image_url", "role": "first_frame", "image_url": {"url": format!("data:application/octet-stream;base64,{data}")}});
            put("input_references", Some(json!([reference])));
        }
        if let Some(params) = &self.provider_params {
            let params: Value =
                serde_json::from_str(params).context("--provider-params is not JSON")?;
            put("provider_params", Some(params));
        }
        Ok(Value::Object(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_outputs_get_their_number_before_the_extension() {
        assert_eq!(
            numbered(Path::new("a/boat.mp4"), 2),
            Path::new("a/boat-2.mp4")
        );
        assert_eq!(numbered(Path::new("boat"), 3), Path::new("boat-3"));
    }
}
