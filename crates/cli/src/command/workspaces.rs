//! `filmgate workspaces create` and `list`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::Context;
use super::reach::Reached;
use super::table::{self, Cell};
use super::videos::text;
use crate::print;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a workspace: an owner of keys, videos and funds.
    Create {
        /// Unique among workspaces.
        name: String,
    },
    /// List workspaces, oldest first.
    List,
}

pub(crate) async fn run(context: Context, command: Command) -> Result<ExitCode> {
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let client = &reached.client;
    let answer = match &command {
        Command::Create { name } => {
            let body = json!({ "name": name });
            client
                .call(Method::POST, "/v1/workspaces", Some(&body))
                .await
        }
        Command::List => client.call(Method::GET, "/v1/workspaces", None).await,
    };
    let answer = reached.finish(answer).await?;
    if json {
        print::json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        Command::Create { name } => {
            print::note(format!("workspace {name} is made:"));
            print::line(text(&answer, "id"));
        }
        Command::List => {
            let all = answer["data"].as_array().into_iter().flatten();
            let row = |workspace| {
                vec![
                    Cell::text(text(workspace, "id")),
                    Cell::text(table::instant(&workspace["created_at"])),
                    Cell::text(text(workspace, "name")),
                ]
            };
            table::print(&all.map(row).collect::<Vec<_>>());
        }
    }
    Ok(ExitCode::SUCCESS)
}
