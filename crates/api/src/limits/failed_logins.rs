//! Failed logins: whoever sends wrong keys again and again is refused for a while, unheard.
//!
//! Failures are counted by address and kid, so that a client with a right key is not shut out by another one behind
//! the same address. Kids that do not exist share one count, so that inventing kids is of no use.

use std::net::IpAddr;
use std::time::Duration;

use filmgate_core::time::UnixTime;
use moka::ops::compute::Op;
use moka::sync::Cache;

/// So many failures are answered as such within a window.
const MOST_FAILURES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// More addresses and kids than this are not kept apart.
const MOST_KEPT: u64 = 10_000;

/// Whose failures are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Suspect {
    address: IpAddr,
    /// `None` for every kid that does not exist.
    kid: Option<String>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    since: UnixTime,
    count: u32,
}

#[derive(Debug)]
pub(crate) struct FailedLogins(Cache<Suspect, Failures>);

impl Default for FailedLogins {
    fn default() -> Self {
        Self(Cache::new(MOST_KEPT))
    }
}

impl FailedLogins {
    /// How long whoever this is stays shut out.
    pub(crate) fn shut_out(
        &self,
        address: IpAddr,
        kid: Option<&str>,
        now: UnixTime,
    ) -> Option<Duration> {
        let failures = self.0.get(&Suspect::new(address, kid))?;
        let end = failures.since.plus(WINDOW);
        (failures.count >= MOST_FAILURES && now < end).then(|| end.since(now))
    }

    /// Counts a failure; `kid` where there is a key of it.
    pub(crate) fn count(&self, address: IpAddr, kid: Option<&str>, now: UnixTime) {
        self.0
            .entry(Suspect::new(address, kid))
            .and_compute_with(|before| {
                let running = before
                    .map(moka::Entry::into_value)
                    .filter(|failures| now < failures.since.plus(WINDOW));
                Op::Put(running.map_or(
                    Failures {
                        since: now,
                        count: 1,
                    },
                    |failures| Failures {
                        count: failures.count.saturating_add(1),
                        ..failures
                    },
                ))
            });
    }
}

impl Suspect {
    fn new(address: IpAddr, kid: Option<&str>) -> Self {
        Self {
            address: block_of(address),
            kid: kid.map(str::to_owned),
        }
    }
}

/// One customer of an IPv6 provider has at least 2^64 addresses.
fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let block = u128::from(address) >> 64 << 64;
            IpAddr::V6(block.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_seconds(1_795_420_800);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn too_many_failures_shut_out_until_the_window_is_over() {
        let logins = FailedLogins::default();
        let here = address("192.0.2.1");
        for _ in 0..MOST_FAILURES {
            assert_eq!(logins.shut_out(here, Some("kid"), NOW), None);
            logins.count(here, Some("kid"), NOW);
        }
        assert_eq!(logins.shut_out(here, Some("kid"), NOW), Some(WINDOW));
        let later = NOW.plus(WINDOW);
        assert_eq!(logins.shut_out(here, Some("kid"), later), None);
        logins.count(here, Some("kid"), later);
        assert_eq!(logins.shut_out(here, Some("kid"), later), None);
    }

    #[test]
    fn nobody_else_is_shut_out() {
        let logins = FailedLogins::default();
        for _ in 0..MOST_FAILURES {
            logins.count(address("2001:db8::1"), None, NOW);
        }
        let shut = |text: &str, kid| logins.shut_out(address(text), kid, NOW).is_some();
        assert!(shut("2001:db8::ffff", None), "the same customer");
        assert!(!shut("2001:db8::1", Some("kid")));
        assert!(!shut("2001:db8:0:1::1", None));
        assert!(!shut("192.0.2.1", None));
    }
}
