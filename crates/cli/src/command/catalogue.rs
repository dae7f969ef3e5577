//! `filmgate catalogue check`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use filmgate_catalogue::Catalogue;

use crate::{config, print};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check that the built-in catalogue makes sense, and with what configuration files declare beside it.
    Check {
        /// Configuration files, such as filmgate.toml.
        files: Vec<PathBuf>,
    },
}

pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let Command::Check { files } = command;
    let mut is_sound = match Catalogue::built_in() {
        Ok(catalogue) => {
            sound("the catalogue", &catalogue);
            true
        }
        Err(faults) => {
            print::line(faults);
            false
        }
    };
    for file in files {
        match config::read(Some(file)) {
            Ok(config) => sound(&file.display().to_string(), &config.catalogue),
            Err(config::Faults(faults)) => {
                is_sound = false;
                for fault in faults {
                    print::line(format!("{}: {fault}", file.display()));
                }
            }
        }
    }
    Ok(if is_sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn sound(what: &str, catalogue: &Catalogue) {
    let models = catalogue.models();
    let pairs: usize = models.iter().map(|model| model.pairs.len()).sum();
    print::line(format!(
        "{what} is sound: {} models, {pairs} pairs of a model and a provider",
        models.len()
    ));
}
