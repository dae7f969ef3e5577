//! What people and programs read: data on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};

/// A line of data. A reader that went away (`| head`) is no failure.
pub(crate) fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line for the person at the terminal.
pub(crate) fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

pub(crate) fn json(value: &serde_json::Value) {
    line(serde_json::to_string_pretty(value).expect("a JSON value can be written"));
}

/// Why a command failed, with its causes.
pub(crate) fn fault(error: &anyhow::Error) {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    note(format!("filmgate: {}", causes.join(": ")));
}

/// Whether a person watches standard error.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}
