//! The binary `filmgate`: configuration, wiring, commands.
//!
//! The only place that names a concrete store, provider or clock. Every command that needs a gateway
//! speaks the public API to one; rules of other rooms have no place here.

mod accounts;
mod client;
mod command;
mod config;
mod data_dir;
mod gateway;
mod print;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("this is the first thing the process does");
    let cli = command::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            print::fault(&anyhow::Error::new(error).context("the runtime cannot be started"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command::run(cli)) {
        Ok(code) => code,
        Err(error) => {
            print::fault(&error);
            ExitCode::FAILURE
        }
    }
}
