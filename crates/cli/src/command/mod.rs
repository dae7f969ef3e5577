//! The commands. Each that needs a gateway speaks the public API: to `FILMGATE_URL` with `FILMGATE_KEY`
//! where they are set, else to a gateway it starts in this process.

mod backup;
mod catalogue;
mod config;
mod credits;
mod dev;
mod doctor;
mod generate;
mod jobs;
mod keys;
mod models;
mod openapi;
mod provider_keys;
mod providers;
mod reach;
mod serve;
mod table;
mod tidy;
mod usage;
mod videos;
mod workspaces;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::client::Refused;
use crate::config::{Config, Environment};
use crate::print;

/// One gateway in front of every AI video provider.
#[derive(Debug, Parser)]
#[command(name = "filmgate", version, about)]
pub(crate) struct Cli {
    /// The configuration file; filmgate.toml in the working directory where there is one.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    /// Where to keep the database, the videos and the keys: short for store.url, assets.url and
    /// assets.spool_dir. With PostgreSQL, for what is this process's own alone.
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway until it is told to stop.
    Serve(serve::Args),
    /// Make a video and save it.
    Generate(generate::Args),
    /// Show how a video stands.
    Status(videos::Id),
    /// Follow a video until it ends.
    Watch(videos::Id),
    /// List videos, newest first.
    List(videos::ListArgs),
    /// Save a finished video.
    Download(videos::DownloadArgs),
    /// Cancel a video that has not ended.
    Cancel(videos::Id),
    /// Delete a video that has ended: its bytes, prompt, inputs and metadata.
    Delete(videos::Id),
    /// Make a new video from the request of one that failed, expired or was cancelled.
    Retry(videos::Id),
    /// List the models and what they can do.
    Models,
    /// Tell what a video would cost, without making it.
    Quote(generate::Order),
    /// Make, change, list and revoke API keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Keep, list, rotate and delete workspaces' own credentials at providers.
    #[command(subcommand)]
    ProviderKeys(provider_keys::Command),
    /// Make and list workspaces.
    #[command(subcommand)]
    Workspaces(workspaces::Command),
    /// Show a workspace's funds and its ledger, put funds in and take them out.
    #[command(subcommand)]
    Credits(credits::Command),
    /// Add up what settled jobs cost.
    Usage(usage::Args),
    /// See parked jobs, give them back to work, or end them.
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Show how the accounts at providers do: breaker, slots, latency, what went wrong last.
    Providers,
    /// Explain or check the configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// Check that everything the gateway needs is there and sound.
    Doctor,
    /// Copy the database file, whole and of one instant, while the gateway runs or not.
    Backup(backup::Args),
    /// Remove now what housekeeping would remove in time: expired idempotency keys, old timelines, stored objects that
    /// nothing names.
    Tidy,
    /// Check the catalogue of models.
    #[command(subcommand)]
    Catalogue(catalogue::Command),
    /// Print the API's OpenAPI 3.1 document.
    Openapi,
    /// Help those who work on a gateway or its adapters.
    #[command(subcommand)]
    Dev(dev::Command),
}

/// What every command is handed.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) environment: Environment,
    pub(crate) json: bool,
}

pub(crate) async fn run(cli: Cli) -> Result<ExitCode> {
    if let Command::Openapi = cli.command {
        return openapi::run();
    }
    if let Command::Catalogue(command) = &cli.command {
        return catalogue::run(command);
    }
    if let Command::Dev(command) = cli.command {
        return dev::run(command).await;
    }
    let mut config = match crate::config::read(cli.config.as_deref()) {
        Ok(config) => config,
        Err(faults) if matches!(cli.command, Command::Config(_)) => {
            return Ok(config::faulty(&faults, cli.json));
        }
        Err(faults) => return Err(faults.into()),
    };
    if let Some(data) = &cli.data {
        config.keep_in(data);
    }
    let context = Context {
        config,
        environment: Environment::read(),
        json: cli.json,
    };
    let json = cli.json;
    let done = match cli.command {
        Command::Serve(args) => serve::run(context, args).await,
        Command::Generate(args) => generate::run(context, args).await,
        Command::Status(args) => videos::status(context, args).await,
        Command::Watch(args) => videos::watch(context, args).await,
        Command::List(args) => videos::list(context, args).await,
        Command::Download(args) => videos::download(context, args).await,
        Command::Cancel(args) => videos::cancel(context, args).await,
        Command::Delete(args) => videos::delete(context, args).await,
        Command::Retry(args) => videos::retry(context, args).await,
        Command::Models => models::run(context).await,
        Command::Quote(order) => generate::quote(context, order).await,
        Command::Keys(command) => keys::run(context, command).await,
        Command::ProviderKeys(command) => provider_keys::run(context, command).await,
        Command::Workspaces(command) => workspaces::run(context, command).await,
        Command::Credits(command) => credits::run(context, command).await,
        Command::Usage(args) => usage::run(context, args).await,
        Command::Jobs(command) => jobs::run(context, command).await,
        Command::Providers => providers::run(context).await,
        Command::Config(command) => config::run(&context, &command),
        Command::Doctor => doctor::run(context).await,
        Command::Backup(args) => backup::run(context, args).await,
        Command::Tidy => tidy::run(context).await,
        Command::Catalogue(_) | Command::Openapi | Command::Dev(_) => {
            unreachable!("these were run without a configuration")
        }
    };
    done.or_else(|error| refused(error, json))
}

/// A program that asked for JSON gets the gateway's envelope on standard output.
fn refused(error: anyhow::Error, json: bool) -> Result<ExitCode> {
    match error.downcast_ref::<Refused>() {
        Some(refused) if json => {
            print::json(&refused.envelope);
            Ok(ExitCode::FAILURE)
        }
        _ => Err(error),
    }
}
