//! A fleet: any number of gateways over one database and one place for videos, with an emulated provider that counts
//! what it is asked for.
//!
//! Whatever a fleet stands on is its own and goes with it.

use std::time::Duration;

use filmgate_testbed::{Cluster, S3Server};
use filmgate_upstreams::clock::Clock;
use filmgate_upstreams::emulator::Settings;
use filmgate_upstreams::openai_compatible::{Config, Emulator, Flavour, Running};
use futures::future::join_all;
use serde_json::Value;

use crate::gate::{Gate, Home};
use crate::order::Order;

/// The model the emulated provider runs, one second for two cents.
pub(crate) const MODEL: &str = "local/wan";
/// What a video of one second costs, in nano-dollars.
pub(crate) const PRICE: i64 = 20_000_000;
const KEY: &str = "fg_fleet_0123456789abcdef0123456789abcdef";
const MASTER_KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// What the gateways share.
pub(crate) struct Fleet {
    pub(crate) provider: Running,
    pub(crate) ground: Ground,
    /// Lines of every gateway's `filmgate.toml`: of the provider itself, and all others.
    provider_lines: String,
    lines: String,
}

/// Where the jobs and the videos are.
pub(crate) enum Ground {
    /// A file and a directory beside it: for one gateway.
    File,
    Shared(Box<Shared>),
}

pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    /// The database's address.
    pub(crate) url: String,
    pub(crate) bucket: S3Server,
}

impl Fleet {
    /// For one gateway, on its own files.
    pub(crate) async fn on_files() -> Self {
        Self::on_files_before(quick()).await
    }

    /// As [`Fleet::on_files`], before such a provider.
    pub(crate) async fn on_files_before(provider: Config) -> Self {
        Self::on(Ground::File, provider).await
    }

    /// For any number, on PostgreSQL and S3.
    pub(crate) async fn on_postgres() -> Self {
        Self::on_postgres_before(quick()).await
    }

    /// As [`Fleet::on_postgres`], before such a provider.
    pub(crate) async fn on_postgres_before(provider: Config) -> Self {
        let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
        let url = cluster.database();
        let bucket = S3Server::start();
        let shared = Shared {
            cluster,
            url,
            bucket,
        };
        Self::on(Ground::Shared(Box::new(shared)), provider).await
    }

    async fn on(ground: Ground, provider: Config) -> Self {
        let provider = Emulator::start(provider).await.unwrap();
        let provider_lines = format!(
            r#"
kind = "openai-compatible"
base_url = "{}"
poll_every = "100ms"
"#,
            provider.base_url
        );
        let lines = format!(
            r#"
[[providers.gpu-box.models]]
id = "{MODEL}"
native_model_id = "wan"
durations = [1, 8]
sizes = ["320x180", "1920x1080"]
price = {{ output_second = "0.02" }}
"#
        );
        Self {
            provider,
            ground,
            provider_lines,
            lines,
        }
    }

    /// A further line on the provider, for every gateway whose home is made from now on.
    pub(crate) fn with_provider(mut self, line: &str) -> Self {
        self.provider_lines.push_str(line);
        self.provider_lines.push('\n');
        self
    }

    /// Further lines of every gateway's `filmgate.toml`.
    pub(crate) fn configured(mut self, lines: &str) -> Self {
        self.lines.push_str(lines);
        self.lines.push('\n');
        self
    }

    /// A home for a further gateway.
    pub(crate) fn home(&self) -> Home {
        self.keyless_home().with_first_key(KEY)
    }

    /// As [`Fleet::home`]; on an empty store the gateway makes the first key itself.
    pub(crate) fn keyless_home(&self) -> Home {
        let home = Home::new()
            .configured("[providers.gpu-box]")
            .configured(&self.provider_lines)
            .configured(&self.lines);
        let Ground::Shared(shared) = &self.ground else {
            return home;
        };
        home.environment("FILMGATE_STORE__URL", &shared.url)
            .environment("FILMGATE_SECURITY__MASTER_KEY", MASTER_KEY)
            .environment("FILMGATE_ASSETS__URL", "s3://filmgate/fleet")
            .environment("FILMGATE_ASSETS__ENDPOINT", &shared.bucket.endpoint())
            .environment("FILMGATE_ASSETS__ACCESS_KEY_ID", S3Server::ACCESS_KEY_ID)
            .environment(
                "FILMGATE_ASSETS__SECRET_ACCESS_KEY",
                S3Server::SECRET_ACCESS_KEY,
            )
    }

    pub(crate) async fn gate(&self) -> Gate {
        self.home().start().await
    }

    /// Several gateways, started at once.
    pub(crate) async fn gates(&self, count: usize) -> Vec<Gate> {
        join_all((0..count).map(|_| self.gate())).await
    }

    pub(crate) fn shared(&self) -> &Shared {
        match &self.ground {
            Ground::Shared(shared) => shared,
            Ground::File => panic!("this fleet has one gateway"),
        }
    }
}

/// A provider that needs a moment for a video.
fn quick() -> Config {
    Config {
        settings: Settings {
            render: Duration::from_millis(300),
            ..Settings::default()
        },
        ..Config::default()
    }
}

/// A quick provider that stops what is cancelled, and charges nothing for it.
pub(crate) fn obedient() -> Config {
    Config {
        flavour: Flavour::VllmOmni,
        ..quick()
    }
}

/// A provider that needs as long as `clock` is made to pass a second.
pub(crate) fn held_by(clock: &Clock) -> Config {
    Config {
        settings: Settings {
            render: Duration::from_secs(1),
            clock: clock.clone(),
            ..Settings::default()
        },
        ..Config::default()
    }
}

/// An order for a second of video. `prompt` is the emulator's to read: its `#fault=…` are obeyed.
pub(crate) fn order(prompt: &str) -> Order {
    Order::of(prompt).with("model", MODEL)
}

/// What was charged for a video that has ended, in nano-dollars.
pub(crate) fn charged(video: &Value) -> i64 {
    video["billing"]["total_nanos"].as_i64().unwrap_or(0)
}
