//! `filmgate openapi`.

use std::process::ExitCode;

use anyhow::Result;

use crate::print;

pub(crate) fn run() -> Result<ExitCode> {
    print::line(filmgate_api::openapi().to_pretty_json()?);
    Ok(ExitCode::SUCCESS)
}
