//! `filmgate backup`: a copy of the database file, while the gateway runs or not.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use serde_json::json;

use super::Context;
use crate::config::Database;
use crate::print;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The new file to write it to.
    file: PathBuf,
}

pub(crate) async fn run(context: Context, args: Args) -> Result<ExitCode> {
    let database = context.config.store.database();
    let Database::Sqlite(from) = database.map_err(|fault| anyhow!(fault))? else {
        bail!(
            "store.url names a PostgreSQL database: back it up with pg_dump or your server's own means"
        );
    };
    let to = args.file.clone();
    let copied = tokio::task::spawn_blocking(move || filmgate_store::sqlite::backup(&from, &to));
    copied.await??;
    let bytes = std::fs::metadata(&args.file)?.len();
    let file = args.file.display();
    if context.json {
        print::json(&json!({ "file": file.to_string(), "bytes": bytes }));
    } else {
        print::line(format!(
            "{file} holds the database as it was just now, {bytes} bytes"
        ));
        print::line(
            "keep the master key and the videos beside it: without the key no link and no sealed secret opens",
        );
    }
    Ok(ExitCode::SUCCESS)
}
