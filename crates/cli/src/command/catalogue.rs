//! `filmgate catalogue check`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use filmgate_catalogue::Catalogue;

use crate::print;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check that the built-in catalogue makes sense.
    Check,
}

pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Check = command;
    let catalogue = Catalogue::built_in()?;
    let pairs: usize = catalogue
        .models()
        .iter()
        .map(|model| model.pairs.len())
        .sum();
    print::line(format!(
        "the catalogue is sound: {} models, {pairs} pairs of a model and a provider",
        catalogue.models().len()
    ));
    Ok(ExitCode::SUCCESS)
}
