//! Under which origin (scheme, host, port) a client reached us: absolute URLs are built on it.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{ConnectInfo, FromRequestParts};
use filmgate_core::address::AddressBlock;
use http::header::{HOST, HeaderName};
use http::request::Parts;
use http::uri::Authority;

use crate::connection::Peer;
use crate::error::ApiError;
use crate::{Api, Shared};

/// The origin of the request at hand.
#[derive(Debug, Clone)]
pub(crate) struct Origin(pub(crate) String);

impl FromRequestParts<Shared> for Origin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        if let Some(public) = public_url(api) {
            return Ok(Self(public.to_owned()));
        }
        let trusted = peer(parts).is_some_and(|peer| is_trusted(api, peer));
        let forwarded = |name: &'static str| {
            trusted
                .then(|| first_value(parts, HeaderName::from_static(name)))
                .flatten()
        };
        let scheme = match forwarded("x-forwarded-proto").as_deref() {
            Some("https") => "https",
            _ => "http",
        };
        let host = forwarded("x-forwarded-host")
            .and_then(valid_host)
            .or_else(|| first_value(parts, HOST).and_then(valid_host))
            .or_else(|| {
                let authority = parts.uri.authority()?;
                valid_host(authority.as_str().to_owned())
            })
            .unwrap_or_else(|| api.config.listen.clone());
        Ok(Self(format!("{scheme}://{host}")))
    }
}

/// The address a request came from: the last one in `X-Forwarded-For` that no trusted proxy has, where the peer is
/// one. Nobody's, where no peer is known.
pub(crate) fn client_address(parts: &Parts, api: &Api) -> IpAddr {
    let Some(peer) = peer(parts) else {
        return IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    };
    if !is_trusted(api, peer) {
        return peer;
    }
    let forwarded = parts.headers.get_all("x-forwarded-for").iter();
    let forwarded: Vec<&str> = forwarded
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let addresses = forwarded
        .into_iter()
        .rev()
        .map_while(|text| text.trim().parse::<IpAddr>().ok());
    let mut nearest = peer;
    for address in addresses {
        nearest = address;
        if !is_trusted(api, address) {
            break;
        }
    }
    nearest
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<Peer>>()?;
    Some(peer.address.ip())
}

fn is_trusted(api: &Api, address: IpAddr) -> bool {
    let mut networks = api
        .config
        .trusted_proxies
        .iter()
        .filter_map(|text| text.parse::<AddressBlock>().ok());
    networks.any(|network| network.contains(address))
}

/// The configured origin, without the slash some write at its end.
pub(crate) fn public_url(api: &Api) -> Option<&str> {
    api.config
        .public_url
        .as_deref()
        .map(|url| url.trim_end_matches('/'))
        .filter(|url| !url.is_empty())
}

fn first_value(parts: &Parts, name: HeaderName) -> Option<String> {
    let text = parts.headers.get(name)?.to_str().ok()?;
    Some(text.split(',').next()?.trim().to_owned())
}

/// A host and perhaps a port, of characters that mean nothing else in a URL.
fn valid_host(text: String) -> Option<String> {
    let plain = text.len() <= 255
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
        });
    let authority: Authority = text.parse().ok()?;
    (plain && !authority.host().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_could_mislead_is_not_taken() {
        for good in ["127.0.0.1:8080", "example.org", "[::1]:80"] {
            assert_eq!(valid_host(good.into()).as_deref(), Some(good));
        }
        for bad in [
            "",
            "a/b",
            "user@host",
            "a b",
            "a?x",
            "a#x",
            "\"><script>",
            "é",
        ] {
            assert_eq!(valid_host(bad.into()), None, "{bad}");
        }
    }
}
