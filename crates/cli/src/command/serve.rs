//! `filmgate serve`.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use filmgate_core::provider::Secret;
use filmgate_engine::keys::Bootstrap;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::Context;
use crate::gateway::Gateway;
use crate::print;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address and port; short for server.listen. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

pub(crate) async fn run(mut context: Context, args: Args) -> Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    if let Some(listen) = args.listen {
        context.config.server.listen = listen;
    }
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let listen = context.config.server.listen.clone();
    let public_url = context.config.server.public_url.clone();
    let mut gateway = Gateway::open(context.config).await?;
    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("server.listen: {listen:?} cannot be listened on"))?;
    let address = public_url.unwrap_or(format!("http://{}", listener.local_addr()?));
    let given = context.environment.bootstrap_key.as_ref();
    let bootstrap = gateway.bootstrap(given).await?;
    gateway.data_dir.announce(&address)?;
    gateway.serve(listener);
    tell(&address, &bootstrap, given, context.json);
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    tracing::info!("stopping: requests under way are finished first");
    gateway.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Once: where it is, the first key if it was made now, and a line to paste.
fn tell(address: &str, bootstrap: &Bootstrap, given: Option<&Secret>, as_json: bool) {
    let made = match bootstrap {
        Bootstrap::Made(made) => Some(made.text.expose()),
        Bootstrap::Given(_) | Bootstrap::Unneeded => None,
    };
    if given.is_some() && matches!(bootstrap, Bootstrap::Unneeded) {
        tracing::warn!("FILMGATE_BOOTSTRAP_KEY is ignored: this store has keys already");
    }
    if as_json {
        print::line(json!({ "address": address, "key": made }));
        return;
    }
    print::line(format!("filmgate is ready at {address}"));
    let key = match made {
        Some(key) => {
            print::line(format!("first key, shown this once: {key}"));
            key
        }
        None => "$FILMGATE_KEY",
    };
    print::line("try it:");
    print::line(format!(
        "  curl -s '{address}/v1/videos' -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -H 'Prefer: wait=30' -d '{{\"model\":\"filmgate/testcard\",\"prompt\":\"a paper boat in the rain\"}}'",
    ).replace("'Authorization: Bearer $FILMGATE_KEY'", "\"Authorization: Bearer $FILMGATE_KEY\""));
}
