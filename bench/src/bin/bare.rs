//! The limit of a status read: a bare axum server that answers every request with the same bytes.
//!
//! `bare ADDRESS FILE` serves the file's bytes as JSON until it is killed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use bytes::Bytes;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments
        .next()
        .context("the first argument is the address")?;
    let file = PathBuf::from(arguments.next().context("the second argument is a file")?);
    let body = Bytes::from(std::fs::read(&file)?);
    let answer = move || {
        let body = body.clone();
        async move {
            (
                [
                    (CONTENT_TYPE, "application/json"),
                    (CACHE_CONTROL, "private, no-cache"),
                ],
                body,
            )
        }
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, Router::new().fallback(answer)).await?;
    Ok(())
}
