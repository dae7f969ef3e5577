//! `filmgate models`.

use std::process::ExitCode;

use anyhow::Result;
use reqwest::Method;

use super::Context;
use super::reach::Reached;
use super::videos::text;
use crate::print;

pub(crate) async fn run(context: Context) -> Result<ExitCode> {
    let json = context.json;
    let reached = Reached::reach(context).await?;
    let models = reached
        .client
        .call(Method::GET, "/v1/videos/models", None)
        .await;
    let models = reached.finish(models).await?;
    if json {
        print::json(&models);
        return Ok(ExitCode::SUCCESS);
    }
    for model in models["data"].as_array().into_iter().flatten() {
        let providers = model["providers"].as_array().into_iter().flatten();
        let providers: Vec<String> = providers
            .map(|provider| match provider["available"] == true {
                true => text(provider, "id"),
                false => format!("{} (not configured)", text(provider, "id")),
            })
            .collect();
        print::line(format!(
            "{:32}  {:10}  {}",
            text(model, "model"),
            text(model, "status"),
            providers.join(", ")
        ));
    }
    Ok(ExitCode::SUCCESS)
}
