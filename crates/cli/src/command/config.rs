//! `filmgate config check`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::Context;
use crate::config::{Faults, ProviderKind};
use crate::print;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read the configuration and tell every fault at once.
    Check,
}

pub(crate) fn run(context: &Context, command: &Command) -> Result<ExitCode> {
    let Command::Check = command;
    let config = &context.config;
    if context.json {
        print::json(&json!({ "sound": true, "faults": [] }));
        return Ok(ExitCode::SUCCESS);
    }
    print::line("the configuration is sound");
    print::line(format!("listens on   {}", config.server.listen));
    print::line(format!("stores in    {}", config.store.shown_url()));
    print::line(format!("keeps videos {}", config.assets.url));
    print::line(format!(
        "video API    {}",
        if config.video.enabled { "on" } else { "off" }
    ));
    print::line(format!(
        "billing      {:?}, markup {} basis points",
        config.billing.mode, config.billing.markup_basis_points
    ));
    for (name, provider) in &config.providers {
        let more = match &provider.kind {
            ProviderKind::Testcard => String::new(),
            ProviderKind::OpenAiCompatible(server) => {
                let models: Vec<&str> = server.models.iter().map(|model| &*model.id).collect();
                format!(" at {}, for {}", server.base_url, models.join(", "))
            }
            ProviderKind::Runway(account) => format!(" at {}", account.base_url),
            ProviderKind::GoogleVertex(project) => {
                format!(" at {}, for {}", project.site.base(), project.site.project)
            }
        };
        let off = if provider.enabled { "" } else { ", off" };
        let kind = provider.kind.name();
        print::line(format!("provider     {name}: {kind}{more}{off}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The answer when it is not sound.
pub(crate) fn faulty(faults: &Faults, as_json: bool) -> ExitCode {
    if as_json {
        print::json(&json!({ "sound": false, "faults": faults.0 }));
    } else {
        print::note(format!("filmgate: {faults}"));
    }
    ExitCode::FAILURE
}
