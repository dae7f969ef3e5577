//! A fleet: any number of gateways over one database and one place for videos, with an emulated provider that counts
//! what it is asked for.
//!
//! Whatever a fleet stands on is its own and goes with it.

use std::time::Duration;

use filmgate_testbed::{Cluster, S3Server};
use filmgate_upstreams::openai_compatible::{Config, Emulator, Running};
use futures::future::join_all;
use serde_json::Value;

use crate::gate::{Gate, Home, id_of};
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
    /// Lines of every gateway's `filmgate.toml`.
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
        Self::on(Ground::File).await
    }

    /// For any number, on PostgreSQL and S3.
    pub(crate) async fn on_postgres() -> Self {
        let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
        let url = cluster.database();
        let bucket = S3Server::start();
        let shared = Shared {
            cluster,
            url,
            bucket,
        };
        Self::on(Ground::Shared(Box::new(shared))).await
    }

    async fn on(ground: Ground) -> Self {
        let provider = Emulator::start(Config {
            render: Duration::from_millis(300),
            ..Config::default()
        });
        let provider = provider.await.unwrap();
        let lines = format!(
            r#"
[providers.gpu-box]
kind = "openai-compatible"
base_url = "{}"
poll_every = "100ms"
[[providers.gpu-box.models]]
id = "{MODEL}"
native_model_id = "wan"
durations = [1]
sizes = ["320x180"]
price = {{ output_second = "0.02" }}
"#,
            provider.base_url
        );
        Self {
            provider,
            ground,
            lines,
        }
    }

    /// Further lines of every gateway's `filmgate.toml`.
    pub(crate) fn configured(mut self, lines: &str) -> Self {
        self.lines.push_str(lines);
        self.lines.push('\n');
        self
    }

    /// A home for a further gateway.
    pub(crate) fn home(&self) -> Home {
        let home = Home::new().with_first_key(KEY).configured(&self.lines);
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

/// An order for a second of video. `prompt` is the emulator's to read: `#fault=…` and `#render=…` are obeyed.
pub(crate) fn order(prompt: &str) -> Order {
    Order::of(prompt).with("model", MODEL)
}

/// What was charged for a video that has ended, in nano-dollars.
pub(crate) fn charged(video: &Value) -> i64 {
    video["billing"]["total_nanos"].as_i64().unwrap_or(0)
}

#[tokio::test]
async fn what_one_gateway_took_on_is_told_and_served_by_every_other() {
    let fleet = Fleet::on_postgres().await;
    let gates = fleet.gates(3).await;
    let made = gates[0].create(&order("a boat")).await;
    let id = id_of(&made);
    for gate in &gates {
        let video = gate.wait_terminal(id).await;
        assert_eq!(video["status"], "completed", "{video:#}");
        assert_eq!(charged(&video), PRICE);
        let bytes = gate.bytes(&video).await;
        assert_eq!(crate::gate::sha256(&bytes), video["asset"]["sha256"]);
        let link = video["download_url"].as_str().unwrap();
        let fetched = gates[1].get(link).anonymous().send().await.expect(200);
        assert_eq!(fetched.body, bytes, "a link is every gateway's");
    }
    assert_eq!(fleet.provider.emulator.counts().accepted, 1);
    for gate in gates {
        let home = gate.stop().await;
        home.doctor().await.is_closed_and_balanced();
    }
    assert_eq!(fleet.shared().bucket.objects().len(), 2);
}
