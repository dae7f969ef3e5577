//! `filmgate keys create`, `list` and `revoke`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use reqwest::Method;
use serde_json::json;

use super::Context;
use super::reach::Reached;
use super::videos::text;
use crate::print;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key. Its text is shown once.
    Create {
        /// What the key is for.
        name: String,
        /// read, member or admin.
        #[arg(long, default_value = "member")]
        role: String,
        /// The workspace's id; the caller's own when not given.
        #[arg(long, value_name = "ID")]
        workspace: Option<String>,
    },
    /// List keys, without their secrets.
    List,
    /// Revoke a key: it opens nothing from now on. Its jobs run on.
    Revoke {
        /// The key's id, such as key_01k9v3q2w8m4t7xh5e0rbn6zcy.
        id: String,
    },
}

pub(crate) async fn run(context: Context, command: Command) -> Result<ExitCode> {
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let client = &reached.client;
    let answer = match &command {
        Command::Create {
            name,
            role,
            workspace,
        } => {
            let mut body = json!({ "name": name, "role": role });
            if let Some(workspace) = workspace {
                body["workspace_id"] = json!(workspace);
            }
            client.call(Method::POST, "/v1/keys", Some(&body)).await
        }
        Command::List => client.call(Method::GET, "/v1/keys", None).await,
        Command::Revoke { id } => {
            client
                .call(Method::DELETE, &format!("/v1/keys/{id}"), None)
                .await
        }
    };
    let answer = reached.finish(answer).await?;
    if json {
        print::json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        Command::Create { .. } => {
            print::note(format!("key {}, shown this once:", text(&answer, "id")));
            print::line(text(&answer, "key"));
        }
        Command::List => {
            for key in answer["data"].as_array().into_iter().flatten() {
                let state = if key["revoked_at"].is_null() {
                    "in force"
                } else {
                    "revoked"
                };
                print::line(format!(
                    "{}  {:6}  {:8}  {}",
                    text(key, "id"),
                    text(key, "role"),
                    state,
                    text(key, "name")
                ));
            }
        }
        Command::Revoke { id } => print::line(format!("{id} is revoked")),
    }
    Ok(ExitCode::SUCCESS)
}
