//! Failed logins: whoever sends wrong keys again and again is told to stop, and no longer told what is wrong.
//!
//! A right key opens all the same: its secret has at least 32 characters, so that guesses come to nothing, and shutting
//! it out would let anybody who knows the public half of a key lock its owner out. Failures are counted by address and
//! kid; kids that do not exist share one count, so that inventing kids is of no use.

use std::net::IpAddr;
use std::time::Duration;

use filmgate_core::time::UnixTime;
use moka::sync::Cache;

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
pub(crate) struct FailedLogins {
    /// Answered as such within a window; 0 for any number.
    most: u32,
    counts: Cache<Suspect, Failures>,
}

impl FailedLogins {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            counts: Cache::new(MOST_KEPT),
        }
    }

    /// Counts a failure, `kid` where there is a key of it. How long to stop, where it is one too many.
    pub(crate) fn count(
        &self,
        address: IpAddr,
        kid: Option<&str>,
        now: UnixTime,
    ) -> Result<(), Duration> {
        let suspect = Suspect {
            address: block_of(address),
            kid: kid.map(str::to_owned),
        };
        let counted = self.counts.entry(suspect).and_upsert_with(|before| {
            let running = before
                .map(moka::Entry::into_value)
                .filter(|failures| now < failures.since.plus(WINDOW));
            let failures = running.unwrap_or(Failures {
                since: now,
                count: 0,
            });
            Failures {
                count: failures.count.saturating_add(1),
                ..failures
            }
        });
        let failures = counted.into_value();
        if self.most == 0 || failures.count <= self.most {
            return Ok(());
        }
        Err(failures.since.plus(WINDOW).since(now))
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
    fn too_many_failures_are_told_when_the_window_is_over() {
        let logins = FailedLogins::new(20);
        let here = address("192.0.2.1");
        for _ in 0..20 {
            assert_eq!(logins.count(here, Some("kid"), NOW), Ok(()));
        }
        assert_eq!(logins.count(here, Some("kid"), NOW), Err(WINDOW));
        let later = NOW.plus(WINDOW);
        assert_eq!(logins.count(here, Some("kid"), later), Ok(()));
    }

    #[test]
    fn without_a_limit_nobody_is_told_to_stop() {
        let logins = FailedLogins::new(0);
        for _ in 0..1000 {
            assert_eq!(logins.count(address("192.0.2.1"), None, NOW), Ok(()));
        }
    }

    #[test]
    fn nobody_elses_failures_count() {
        let logins = FailedLogins::new(20);
        for _ in 0..20 {
            logins.count(address("2001:db8::1"), None, NOW).unwrap();
        }
        let stopped = |text: &str, kid| logins.count(address(text), kid, NOW).is_err();
        assert!(stopped("2001:db8::ffff", None), "the same customer");
        assert!(!stopped("2001:db8::1", Some("kid")));
        assert!(!stopped("2001:db8:0:1::1", None));
        assert!(!stopped("192.0.2.1", None));
    }
}
