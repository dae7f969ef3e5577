//! `filmgate dev upstream`: emulated vendors to try a gateway against, without accounts and without cost.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Subcommand, ValueEnum};
use filmgate_upstreams::emulator::{Running, Settings, Vendor};
use filmgate_upstreams::films::Supply;
use filmgate_upstreams::google_vertex;
use filmgate_upstreams::openai_compatible::{self, Flavour, Storage};
use filmgate_upstreams::runway;
use serde_json::{Value, json};
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
    /// A Google Cloud project that has Veo on Vertex AI.
    GoogleVertex(GoogleVertex),
    /// An account at Runway.
    Runway(Runway),
}

/// What every vendor has.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Address and port. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How long a job waits before it is begun.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    queue_seconds: Duration,
    /// How long a job takes.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    render_seconds: Duration,
    /// What the clips are like.
    #[arg(long, value_enum, default_value_t = Clips::AsOrdered)]
    clips: Clips,
    /// Refuse more than so many jobs at once with 429.
    #[arg(long, value_name = "JOBS")]
    max_running: Option<usize>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Runway {
    #[command(flatten)]
    common: Common,
    /// Refuse calls without this key.
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct GoogleVertex {
    #[command(flatten)]
    common: Common,
    /// The project's id.
    #[arg(long, value_name = "ID", default_value = "emulated-project")]
    project: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OpenaiCompatible {
    #[command(flatten)]
    common: Common,
    /// Refuse calls without this key.
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Which server it is like.
    #[arg(
        long,
        default_value = Flavour::OpenAi.as_str(),
        value_parser = PossibleValuesParser::new(Flavour::ALL.map(Flavour::as_str))
            .map(|name| Flavour::parse(&name).expect("only these are let through")),
    )]
    flavour: Flavour,
    /// Serve this model; may be given more than once. Without it, every name is taken.
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// Upload finished files to a bucket, as SGLang can.
    #[arg(long)]
    cloud_storage: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Clips {
    /// As large and as long as ordered.
    AsOrdered,
    /// One tiny clip for every job.
    Tiny,
}

pub(crate) async fn run(command: Command) -> Result<ExitCode> {
    let Command::Upstream(upstream) = command;
    match upstream {
        Upstream::OpenaiCompatible(args) => {
            let (listen, flavour) = (args.common.listen, args.flavour);
            let started = openai_compatible::Emulator::start(args.into()).await;
            serve(started, listen, json!({"flavour": flavour.as_str()})).await
        }
        Upstream::GoogleVertex(args) => {
            let listen = args.common.listen;
            let started = google_vertex::Emulator::start(args.into()).await;
            let key = started
                .as_ref()
                .map(|upstream| upstream.emulator.service_account(&upstream.origin));
            let told = json!({"service_account": key.unwrap_or_default()});
            serve(started, listen, told).await
        }
        Upstream::Runway(args) => {
            let listen = args.common.listen;
            let started = runway::Emulator::start(args.into()).await;
            serve(started, listen, json!({})).await
        }
    }
}

/// Tells where it is, and runs it until it is told to stop.
async fn serve<V: Vendor>(
    started: io::Result<Running<V>>,
    listen: SocketAddr,
    mut told: Value,
) -> Result<ExitCode> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let upstream = started.with_context(|| format!("--listen: {listen} cannot be listened on"))?;
    told["base_url"] = json!(upstream.base_url);
    told["control_url"] = json!(format!("{}/_emulator", upstream.origin));
    print::line(told);
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    upstream.stop().await;
    Ok(ExitCode::SUCCESS)
}

impl From<Clips> for Supply {
    fn from(clips: Clips) -> Self {
        match clips {
            Clips::AsOrdered => Self::AsOrdered,
            Clips::Tiny => Self::OneForAll,
        }
    }
}

impl From<Common> for Settings {
    fn from(args: Common) -> Self {
        Self {
            listen: args.listen,
            queue: args.queue_seconds,
            render: args.render_seconds,
            supply: args.clips.into(),
            max_running: args.max_running,
            ..Self::default()
        }
    }
}

impl From<GoogleVertex> for google_vertex::Config {
    fn from(args: GoogleVertex) -> Self {
        Self {
            settings: args.common.into(),
            project: args.project,
        }
    }
}

impl From<Runway> for runway::Config {
    fn from(args: Runway) -> Self {
        Self {
            settings: args.common.into(),
            api_key: args.api_key,
        }
    }
}

impl From<OpenaiCompatible> for openai_compatible::Config {
    fn from(args: OpenaiCompatible) -> Self {
        Self {
            settings: args.common.into(),
            flavour: args.flavour,
            api_key: args.api_key,
            models: args.models,
            storage: if args.cloud_storage {
                Storage::Cloud
            } else {
                Storage::Local
            },
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "a number of seconds is allowed".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
