//! Addresses that somebody else names: which of them are public.
//!
//! One rule for everything that is fetched from, or sent to, an address out of a client's request or a provider's
//! answer. Not here: what a name resolves to, which whoever connects has to look at again.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// One address, or all that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressBlock {
    address: IpAddr,
    prefix: u32,
}

/// A text that is no block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct InvalidAddressBlock(pub String);

impl AddressBlock {
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(other)) => {
                let shift = 32 - self.prefix;
                shift == 32 || u32::from(net) >> shift == u32::from(other) >> shift
            }
            (IpAddr::V6(net), IpAddr::V6(other)) => {
                let shift = 128 - self.prefix;
                shift == 128 || u128::from(net) >> shift == u128::from(other) >> shift
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for AddressBlock {
    type Err = InvalidAddressBlock;

    /// Reads `10.0.0.0/8`, `::1` and the like.
    fn from_str(text: &str) -> Result<Self, InvalidAddressBlock> {
        let read = || {
            let (address, prefix) = match text.split_once('/') {
                Some((address, prefix)) => (address.parse().ok()?, Some(prefix.parse().ok()?)),
                None => (text.parse().ok()?, None),
            };
            let most = if matches!(address, IpAddr::V4(_)) {
                32
            } else {
                128
            };
            let prefix = prefix.unwrap_or(most);
            (prefix <= most).then_some(Self { address, prefix })
        };
        read().ok_or_else(|| InvalidAddressBlock(text.chars().take(64).collect()))
    }
}

impl fmt::Display for AddressBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl<'de> Deserialize<'de> for AddressBlock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether anybody on the internet could have this address: not one of a machine, a house or a cloud's inside.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Whether a host's name may lead to a public address, as far as its text tells.
pub fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let private = ["localhost", "local", "internal", "localdomain", "home.arpa"];
    name.contains('.')
        && !private.iter().any(|suffix| {
            name == *suffix
                || name
                    .strip_suffix(suffix)
                    .is_some_and(|rest| rest.ends_with('.'))
        })
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Global unicast alone, without documentation and the ranges that tunnel to IPv4.
    first & 0xe000 == 0x2000
        && !(first == 0x2001 && (second == 0xdb8 || second == 0))
        && first != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_addresses_and_no_others() {
        let within = |block: &str, address: &str| {
            let block: AddressBlock = block.parse().unwrap();
            block.contains(address.parse().unwrap())
        };
        assert!(within("10.0.0.0/8", "10.200.3.4"));
        assert!(!within("10.0.0.0/8", "11.0.0.1"));
        assert!(within("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(within("0.0.0.0/0", "8.8.8.8"));
        assert!(within("::/0", "fe80::1"));
        assert!(!within("::1", "::2"));
        for text in ["", "10.0.0.0/33", "::/129", "host", "10.0.0.0/-1"] {
            assert!(text.parse::<AddressBlock>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_house_or_a_cloud_keeps_for_itself_is_not_public() {
        for public in ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2001::1",
            "2002:7f00:1::",
            "fc00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[test]
    fn names_of_the_inside_are_not_public() {
        assert!(is_public_name("example.org"));
        for name in [
            "localhost",
            "a.localhost.",
            "intranet",
            "db.internal",
            "nas.home.arpa",
        ] {
            assert!(!is_public_name(name), "{name}");
        }
    }
}
