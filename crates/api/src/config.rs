//! The sections `[server]` and `[video]` of the configuration.

use filmgate_core::address::AddressBlock;
use serde::{Deserialize, Deserializer};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: String,
    /// The scheme, host and port clients reach us under. Where it is not set, each job's links use the
    /// origin it was created by.
    pub public_url: Option<String>,
    /// Addresses or networks whose `X-Forwarded-Proto` and `X-Forwarded-Host` are believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<String>,
    /// Web origins whose pages may call us from a browser. Empty: none.
    pub cors_origins: Vec<String>,
    /// The largest body of a create or a quote.
    pub create_body_bytes: u64,
    /// The largest body elsewhere, and of a JSON create without its `data:` URLs.
    pub json_body_bytes: u64,
    /// What all bodies of creates and quotes may take together while they are read and admitted; never less than
    /// `create_body_bytes` in effect.
    pub body_memory_bytes: u64,
    /// Calls of one key a second; 0 for no limit.
    pub key_requests_per_second: u32,
    /// Calls of one key at once, when it was quiet before.
    pub key_burst: u32,
    /// Wrong keys from one address within a minute, before it is told to stop; 0 for no limit.
    pub failed_logins_per_minute: u32,
    /// Event streams and WebSockets of one key open at once; 0 for no limit.
    pub live_watchers_per_key: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".to_owned(),
            public_url: None,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            create_body_bytes: 32 << 20,
            json_body_bytes: 1 << 20,
            body_memory_bytes: 512 << 20,
            key_requests_per_second: 200,
            key_burst: 1000,
            failed_logins_per_minute: 20,
            live_watchers_per_key: 100,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VideoConfig {
    /// `false`: every video route answers 501, and running jobs go on.
    pub enabled: bool,
}

impl Default for VideoConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Refused where the file is read, so that the fault is told with its place.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let all = Vec::<String>::deserialize(deserializer)?;
    let wrong = all
        .iter()
        .find_map(|text| text.parse::<AddressBlock>().err());
    match wrong {
        Some(wrong) => Err(serde::de::Error::custom(wrong)),
        None => Ok(all),
    }
}
