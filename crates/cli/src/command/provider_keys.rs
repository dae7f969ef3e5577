//! `filmgate provider-keys add`, `list`, `rotate` and `delete`.
//!
//! A secret comes in on standard input or out of an environment variable, never as an argument: those are shown to
//! everybody on the machine.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Subcommand;
use filmgate_core::id::ProviderKeyId;
use filmgate_core::provider::Secret;
use reqwest::Method;
use serde_json::{Value, json};

use super::Context;
use super::reach::Reached;
use super::table::{self, Cell};
use super::videos::text;
use crate::client::asking;
use crate::config::variable;
use crate::print;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Keep a workspace's own credential at a provider, sealed. Its jobs there run on it from then on.
    Add {
        /// The provider's name, as it is configured.
        provider: String,
        /// What it is for.
        #[arg(long, default_value = "")]
        label: String,
        /// The workspace's id; the caller's own when not given.
        #[arg(long, value_name = "ID")]
        workspace: Option<String>,
        #[command(flatten)]
        secret: SecretSource,
    },
    /// List a workspace's credentials, without their secrets.
    List {
        /// The workspace's id; the caller's own when not given.
        #[arg(long, value_name = "ID")]
        workspace: Option<String>,
    },
    /// Replace a credential's secret. Jobs under way use the new one.
    Rotate {
        #[command(flatten)]
        key: Id,
        #[command(flatten)]
        secret: SecretSource,
    },
    /// Delete a credential. Jobs that are pinned to it go on with it until their fate is known.
    Delete(Id),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Id {
    /// The provider key's id, such as pkey_01k9v3q2w8m4t7xh5e0rbn6zcy.
    id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SecretSource {
    /// Where the secret is: env:NAME for a variable; standard input when not given.
    #[arg(long, value_name = "env:NAME")]
    secret: Option<String>,
}

pub(crate) async fn run(context: Context, command: Command) -> Result<ExitCode> {
    let json = context.json;
    let (method, path, body) = asked(&command)?;
    let reached = Reached::reach(context).await?;
    let answer = reached.client.call(method, &path, body.as_ref()).await;
    let answer = reached.finish(answer).await?;
    if json {
        print::json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    match command {
        Command::Add { provider, .. } => {
            print::note(format!("a credential for {provider} is kept:"));
            print::line(text(&answer, "id"));
        }
        Command::List { .. } => list(&answer),
        Command::Rotate { key, .. } => print::line(format!("{} has a new secret", key.id)),
        Command::Delete(key) => print::line(format!("{} is deleted", key.id)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The call a command stands for.
fn asked(command: &Command) -> Result<(Method, String, Option<Value>)> {
    Ok(match command {
        Command::Add {
            provider,
            label,
            workspace,
            secret,
        } => {
            let mut body =
                json!({ "provider": provider, "label": label, "secret": secret.read()?.expose() });
            if let Some(workspace) = workspace {
                body["workspace_id"] = json!(workspace);
            }
            (Method::POST, "/v1/provider-keys".to_owned(), Some(body))
        }
        Command::List { workspace } => {
            let whose = [("workspace_id", workspace.as_deref())];
            (Method::GET, asking("/v1/provider-keys", &whose), None)
        }
        Command::Rotate { key, secret } => {
            let path = format!("{}/rotate", key.path()?);
            let body = json!({ "secret": secret.read()?.expose() });
            (Method::POST, path, Some(body))
        }
        Command::Delete(key) => (Method::DELETE, key.path()?, None),
    })
}

impl Id {
    fn path(&self) -> Result<String> {
        match self.id.parse::<ProviderKeyId>() {
            Ok(id) => Ok(format!("/v1/provider-keys/{id}")),
            Err(_) => bail!(
                "{:?} is not a provider key's id: those look like pkey_01k9v3q2w8m4t7xh5e0rbn6zcy",
                self.id
            ),
        }
    }
}

impl SecretSource {
    /// The secret without the newline that a terminal or a file ends it with.
    fn read(&self) -> Result<Secret> {
        let text = match &self.secret {
            None => {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .context("the secret cannot be read from standard input")?;
                text
            }
            Some(source) => {
                let Some(name) = source.strip_prefix("env:") else {
                    // It may be the secret itself: it is not repeated.
                    bail!(
                        "--secret: env: and a variable's name are allowed; leave it out to send the secret on standard input"
                    );
                };
                variable(name).ok_or_else(|| anyhow!("--secret: the variable {name} is not set"))?
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            bail!("no secret was given");
        }
        Ok(Secret::new(text))
    }
}

fn list(keys: &Value) {
    let keys = keys["data"].as_array().into_iter().flatten();
    let row = |key: &Value| {
        let state = match &key["deleted_at"] {
            Value::Null => "in force".to_owned(),
            at => format!("deleted {}", table::instant(at)),
        };
        let hint = text(key, "hint");
        let hint = if hint.is_empty() {
            hint
        } else {
            format!("…{hint}")
        };
        vec![
            Cell::text(text(key, "id")),
            Cell::text(text(key, "provider")),
            Cell::text(hint),
            Cell::text(state),
            Cell::text(text(key, "label")),
        ]
    };
    table::print(&keys.map(row).collect::<Vec<_>>());
}
