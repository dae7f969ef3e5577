//! Reaching a gateway: the one the environment names, or one in this process for as long as the command
//! runs.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, bail};
use filmgate_core::key::{KeyTerms, Role};
use filmgate_core::provider::Secret;
use filmgate_engine::keys::{COMMAND_LINE, Login};
use filmgate_engine::{Engine, Made, Operator};
use tokio::net::TcpListener;

use super::Context;
use crate::client::Client;
use crate::config::{Config, Environment};
use crate::gateway::Gateway;

/// A gateway that can be spoken to.
pub(crate) struct Reached {
    pub(crate) client: Client,
    own: Option<Gateway>,
}

impl Reached {
    pub(crate) async fn reach(context: Context) -> Result<Self> {
        match (&context.environment.url, &context.environment.key) {
            (Some(url), Some(key)) => Ok(Self {
                client: Client::new(url, key.clone())?,
                own: None,
            }),
            (Some(_), None) => bail!(
                "FILMGATE_URL is set and FILMGATE_KEY is not; set it to a key of that gateway"
            ),
            (None, _) => Self::start(context.config, &context.environment).await,
        }
    }

    /// Does `work` and ends the gateway, if it was ours, whatever came of it.
    pub(crate) async fn finish<T>(self, work: Result<T>) -> Result<T> {
        if let Some(own) = self.own {
            own.shutdown().await;
        }
        work
    }

    async fn start(mut config: Config, environment: &Environment) -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
            .await
            .context("no port on loopback is free")?;
        let base = format!("http://{}", listener.local_addr()?);
        // What was configured for the world does not hold for a gateway only this command can reach.
        config.server.public_url = None;
        config.server.key_requests_per_second = 0;
        let mut gateway = Gateway::open(config).await?;
        if environment.bootstrap_key.is_some() {
            gateway
                .bootstrap(environment.bootstrap_key.as_ref())
                .await?;
        }
        let key = match gateway.data_dir.command_line_key() {
            Some(key) if opens(&gateway.engine, &key).await? => key,
            _ => {
                let workspace = gateway.engine.default_workspace().await?;
                let terms = KeyTerms::new(COMMAND_LINE, Role::Admin);
                let made = gateway
                    .engine
                    .create_key(workspace, terms, &Operator::default())
                    .await?;
                let Made::New(made) = made else {
                    bail!("the command line's key was made without its text");
                };
                gateway.data_dir.keep_command_line_key(&made.text)?;
                made.text
            }
        };
        gateway.data_dir.announce(&base)?;
        gateway.serve(listener);
        Ok(Self {
            client: Client::new(&base, key)?,
            own: Some(gateway),
        })
    }
}

/// Whether the command line's key is still an admin's and in force.
async fn opens(engine: &Engine, key: &Secret) -> Result<bool> {
    Ok(match engine.authenticate(key.expose()).await? {
        Login::Genuine(key) => key.terms.role == Role::Admin,
        Login::OutOfForce(_) | Login::Wrong { .. } => false,
    })
}
