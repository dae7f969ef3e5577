//! `filmgate status`, `watch`, `list`, `download`, `cancel`, `delete` and `retry`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::Value;

use super::reach::Reached;
use super::{Context, generate};
use crate::client::Client;
use crate::print;

#[derive(Debug, clap::Args)]
pub(crate) struct Id {
    /// The video's id, such as video_01k9v3q2w8m4t7xh5e0rbn6zcy.
    id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// How many, 1 to 200.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Only those of this status: queued, processing, completed, failed, cancelled, expired.
    #[arg(long)]
    status: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DownloadArgs {
    /// The video's id.
    id: String,
    /// Where the video is written; the video's id and .mp4 when not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) async fn status(context: Context, args: Id) -> Result<ExitCode> {
    one(
        context,
        Method::GET,
        &format!("/v1/videos/{}", segment(&args.id)?),
    )
    .await
}

pub(crate) async fn cancel(context: Context, args: Id) -> Result<ExitCode> {
    one(
        context,
        Method::POST,
        &format!("/v1/videos/{}/cancel", segment(&args.id)?),
    )
    .await
}

pub(crate) async fn retry(context: Context, args: Id) -> Result<ExitCode> {
    let path = format!("/v1/videos/{}/retry", segment(&args.id)?);
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let client = reached.client.clone();
    let done = async {
        let made = client.call(Method::POST, &path, None).await?;
        // A gateway of our own ends with the command, so the new video is followed to its end.
        let video = follow(&client, &text(&made, "id"), !json).await?;
        show(&video, json);
        Ok(ExitCode::SUCCESS)
    };
    let done = done.await;
    reached.finish(done).await
}

pub(crate) async fn delete(context: Context, args: Id) -> Result<ExitCode> {
    let path = format!("/v1/videos/{}", segment(&args.id)?);
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let deleted = reached.client.call(Method::DELETE, &path, None).await;
    let deleted = reached.finish(deleted).await?;
    if json {
        print::json(&deleted);
    } else {
        print::line(format!("{} is deleted", args.id));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn watch(context: Context, args: Id) -> Result<ExitCode> {
    let id = segment(&args.id)?.to_owned();
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let video = follow(&reached.client, &id, !json).await;
    let video = reached.finish(video).await?;
    show(&video, json);
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn list(context: Context, args: ListArgs) -> Result<ExitCode> {
    let status = args
        .status
        .map(|status| format!("&status={}", encoded(&status)))
        .unwrap_or_default();
    let path = format!("/v1/videos?limit={}{status}", args.limit);
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let page = reached.client.call(Method::GET, &path, None).await;
    let page = reached.finish(page).await?;
    if json {
        print::json(&page);
        return Ok(ExitCode::SUCCESS);
    }
    for video in page["data"].as_array().into_iter().flatten() {
        let cost = video["billing"]["settled_user_cost"]
            .as_str()
            .unwrap_or("-");
        print::line(format!(
            "{}  {:10}  {:>10}  {}",
            text(video, "id"),
            text(video, "status"),
            cost,
            text(video, "model")
        ));
    }
    if page["has_more"] == true {
        print::note("there are more; raise --limit, or use the API's `after`");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn download(context: Context, args: DownloadArgs) -> Result<ExitCode> {
    let id = segment(&args.id)?.to_owned();
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let client = reached.client.clone();
    let done = async {
        let Some(seen) = client.video(&id, None).await? else {
            bail!("the gateway answered without a video")
        };
        if text(&seen.video, "status") != "completed" {
            bail!(
                "video {id} is {}; only a completed one can be downloaded",
                text(&seen.video, "status")
            );
        }
        generate::save_all(&client, &seen.video, args.out.as_deref()).await
    };
    let done = done.await;
    let files = reached.finish(done).await?;
    if json {
        print::json(&serde_json::json!({ "files": files }));
    } else {
        for file in files {
            print::line(file.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn one(context: Context, method: Method, path: &str) -> Result<ExitCode> {
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let video = reached.client.call(method, path, None).await;
    show(&reached.finish(video).await?, json);
    Ok(ExitCode::SUCCESS)
}

/// Waits until the video ends, telling a person how it goes: a bar on a terminal, plain lines elsewhere.
pub(crate) async fn follow(client: &Client, id: &str, tell: bool) -> Result<Value> {
    let bar = (tell && print::is_watched()).then(|| {
        let style =
            ProgressStyle::with_template("{spinner} {msg:12} [{bar:30}] {pos:>3}% {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(100).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    });
    let mut etag: Option<String> = None;
    let mut told = String::new();
    loop {
        let Some(seen) = client.video(id, etag.as_deref()).await? else {
            continue;
        };
        let status = text(&seen.video, "status");
        let progress = seen.video["progress"].as_u64();
        if let Some(bar) = &bar {
            bar.set_message(status.clone());
            bar.set_position(progress.unwrap_or(0));
        } else if tell {
            let line =
                progress.map_or_else(|| status.clone(), |percent| format!("{status} {percent}%"));
            if line != told {
                print::note(&line);
                told = line;
            }
        }
        if !matches!(status.as_str(), "queued" | "processing") {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            return Ok(seen.video);
        }
        etag = seen.etag;
    }
}

/// A video as people read it, or as it is.
pub(crate) fn show(video: &Value, json: bool) {
    if json {
        print::json(video);
        return;
    }
    let progress = video["progress"]
        .as_u64()
        .map(|percent| format!(" {percent}%"))
        .unwrap_or_default();
    print::line(format!("video     {}", text(video, "id")));
    print::line(format!("status    {}{progress}", text(video, "status")));
    print::line(format!(
        "model     {} by {}",
        text(video, "model"),
        text(video, "provider")
    ));
    if let Some(cost) = video["billing"]["settled_user_cost"].as_str() {
        print::line(format!(
            "cost      {cost} USD ({})",
            text(&video["billing"], "charge_reason")
        ));
    }
    for output in video["outputs"].as_array().into_iter().flatten() {
        let gone = match output["bytes_available"] == false {
            true => "; removed, its time was over",
            false => "",
        };
        print::line(format!(
            "output {}  {}x{}, {} s, {} bytes, sha256 {}{gone}",
            output["index"],
            output["width"],
            output["height"],
            output["duration_seconds"],
            output["bytes"],
            text(output, "sha256")
        ));
    }
    if let Some(error) = video["error"].as_object() {
        let field = |name: &str| error.get(name).and_then(Value::as_str);
        print::line(format!(
            "error     {}: {}",
            field("code").unwrap_or_default(),
            field("message").unwrap_or_default()
        ));
        if let Some(hint) = field("hint") {
            print::line(format!("hint      {hint}"));
        }
    }
}

pub(crate) fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// An id as it may stand in a path.
fn segment(id: &str) -> Result<&str> {
    if id.is_empty()
        || !id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        bail!("{id:?} is not a video's id: those look like video_01k9v3q2w8m4t7xh5e0rbn6zcy");
    }
    Ok(id)
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || byte == b',' {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}
