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
    let private = [
        "localhost",
        "local",
        "internal",
        "localdomain",
        "home.arpa",
        "lan",
        "home",
        "corp",
        "intranet",
        "private",
    ];
    name.contains('.')
        && !private.iter().any(|suffix| {
            name == *suffix
                || name
                    .strip_suffix(suffix)
                    .is_some_and(|rest| rest.ends_with('.'))
        })
}

/// Azure's own services on the inside of each machine, at an address that looks like anybody's.
const AZURE_INSIDE: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_multicast()
        || address == AZURE_INSIDE
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b)))
}

/// Global unicast alone, without documentation and without whatever leads to an IPv4 address inside it: Teredo and all
/// else that the IETF keeps for protocols, 6to4, ISATAP. Mapped, compatible and translated addresses are not global.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, _, _, fifth, sixth, ..] = address.segments();
    let for_protocols = first == 0x2001 && second < 0x200;
    let documentation = (first == 0x2001 && second == 0xdb8) || first == 0x3fff;
    let six_to_four = first == 0x2002;
    let isatap = fifth & 0xfdff == 0 && sixth == 0x5efe;
    first & 0xe000 == 0x2000 && !(for_protocols || documentation || six_to_four || isatap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every way this crate knows in which an IPv6 address carries `inner`.
    fn carrying(inner: Ipv4Addr, filler: u128) -> Vec<Ipv6Addr> {
        let v4 = u128::from(u32::from(inner));
        let filled = |prefix: u128, bits: u32, at: u32| {
            let prefix = prefix << (128 - bits);
            let own = u128::MAX >> bits;
            let place = u128::from(u32::MAX) << at;
            Ipv6Addr::from(prefix | (filler & own & !place) | (v4 << at))
        };
        let isatap = |mark: u128| {
            let prefix = filler >> 64 << 64;
            Ipv6Addr::from(prefix | (mark << 32) | v4)
        };
        vec![
            // Compatible, mapped and translated.
            Ipv6Addr::from(v4),
            inner.to_ipv6_mapped(),
            Ipv6Addr::from(0xffff_0000_0000 | v4),
            // NAT64, well known and local.
            Ipv6Addr::from((0x0064_ff9b_u128 << 96) | v4),
            filled(0x0064_ff9b_0001, 48, 0),
            // 6to4, and Teredo's server and its client, whose bits are turned over.
            filled(0x2002, 16, 80),
            filled(0x2001_0000, 32, 64),
            filled(0x2001_0000, 32, 0),
            Ipv6Addr::from(u128::from(filled(0x2001_0000, 32, 0)) ^ u128::from(u32::MAX)),
            // ISATAP, below any prefix.
            isatap(0x0000_5efe),
            isatap(0x0200_5efe),
        ]
    }

    fn private_v4() -> impl Strategy<Value = Ipv4Addr> {
        const BLOCKS: [(u32, u32); 7] = [
            (0x0a00_0000, 8),
            (0x6440_0000, 10),
            (0x7f00_0000, 8),
            (0xa9fe_0000, 16),
            (0xac10_0000, 12),
            (0xc0a8_0000, 16),
            (0xe000_0000, 3),
        ];
        (prop::sample::select(&BLOCKS[..]), any::<u32>())
            .prop_map(|((net, bits), low)| Ipv4Addr::from(net | (low & (u32::MAX >> bits))))
    }

    proptest! {
        #[test]
        fn what_carries_a_private_address_is_never_public(inner in private_v4(), filler: u128) {
            prop_assert!(!is_public(inner.into()), "{inner}");
            for outer in carrying(inner, filler) {
                prop_assert!(!is_public(outer.into()), "{outer} carries {inner}");
            }
        }

        #[test]
        fn only_global_unicast_is_public(bits: u128) {
            let address = Ipv6Addr::from(bits);
            let seen = address.to_canonical();
            prop_assume!(seen.is_ipv6());
            prop_assert!(!is_public(seen) || bits >> 125 == 1, "{address}");
        }

        #[test]
        fn a_block_knows_what_lies_in_it(net: u32, prefix in 0u32..=32, other: u32) {
            let block: AddressBlock = format!("{}/{prefix}", Ipv4Addr::from(net)).parse().unwrap();
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            let other = Ipv4Addr::from(other);
            let expected = u32::from(other) & mask == net & mask;
            prop_assert_eq!(block.contains(other.into()), expected);
            prop_assert_eq!(block.contains(other.to_ipv6_mapped().into()), expected);
        }
    }

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
            "100.100.100.200",
            "127.0.0.1",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.192",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2606:4700::5efe:a00:1",
            "3fff::1",
            "fd00:ec2::254",
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
            "router.lan..",
            "DC.Corp",
            ".",
            "",
        ] {
            assert!(!is_public_name(name), "{name}");
        }
    }
}
