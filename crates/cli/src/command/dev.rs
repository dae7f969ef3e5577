//! `filmgate dev upstream`: emulated vendors to try a gateway against, without accounts and without cost.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Subcommand, ValueEnum};
use filmgate_upstreams::films::Supply;
use filmgate_upstreams::openai_compatible::{Config, Emulator, Flavour, Storage};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::print;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an emulated vendor until it is told to stop.
    #[command(subcommand)]
    Upstream(Upstream),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Upstream {
    /// A self-hosted server that speaks OpenAI's /v1/videos.
    OpenaiCompatible(OpenaiCompatible),
}

#[derive(Debug, clap::Args)]
pub(crate) struct OpenaiCompatible {
    /// Address and port. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Which server it is like.
    #[arg(
        long,
        default_value = Flavour::OpenAi.as_str(),
        value_parser = PossibleValuesParser::new(Flavour::ALL.map(Flavour::as_str))
            .map(|name| Flavour::parse(&name).expect("only these are let through")),
    )]
    flavour: Flavour,
    /// Refuse calls without this key.
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Serve this model; may be given more than once. Without it, every name is taken.
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// How long a job waits before it is begun.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    queue_seconds: Duration,
    /// How long a job takes.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    render_seconds: Duration,
    /// What the clips are like.
    #[arg(long, value_enum, default_value_t = Clips::AsOrdered)]
    clips: Clips,
    /// Upload finished files to a bucket, as SGLang can.
    #[arg(long)]
    cloud_storage: bool,
    /// Refuse more than so many jobs at once with 429.
    #[arg(long, value_name = "JOBS")]
    max_running: Option<usize>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Clips {
    /// As large and as long as ordered.
    AsOrdered,
    /// One tiny clip for every job.
    Tiny,
}

pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    let Command::Upstream(Upstream::OpenaiCompatible(args)) = command;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let listen = args.listen;
    let flavour = args.flavour;
    let upstream = Emulator::start(args.into())
        .await
        .with_context(|| format!("--listen: {listen} cannot be listened on"))?;
    print::line(json!({
        "base_url": upstream.base_url,
        "control_url": format!("{}/_emulator", upstream.origin),
        "flavour": flavour.as_str(),
    }));
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    upstream.stop().await;
    Ok(ExitCode::SUCCESS)
}

impl From<OpenaiCompatible> for Config {
    fn from(args: OpenaiCompatible) -> Self {
        Self {
            listen: args.listen,
            flavour: args.flavour,
            api_key: args.api_key,
            models: args.models,
            queue: args.queue_seconds,
            render: args.render_seconds,
            supply: match args.clips {
                Clips::AsOrdered => Supply::AsOrdered,
                Clips::Tiny => Supply::OneForAll,
            },
            storage: if args.cloud_storage {
                Storage::Cloud
            } else {
                Storage::Local
            },
            max_running: args.max_running,
            ..Self::default()
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "a number of seconds is allowed".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
