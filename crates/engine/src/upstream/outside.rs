//! Files at addresses that a provider's answer names: nobody here vouches for those.
//!
//! https and public addresses alone, looked at when the connection is made, so that no name can first show one address
//! and then lead to another. An operator may open networks of their own (`security.allow_private_networks`); inside
//! those, plain http will do too.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use filmgate_core::address::{AddressBlock, is_public};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::network::{NoClient, client};

/// The way to addresses that are not the operator's own. Cheap to clone, one for all providers.
#[derive(Clone)]
pub struct Outside {
    opened: Arc<[AddressBlock]>,
    encrypted: reqwest::Client,
    plain: reqwest::Client,
}

/// Why an address is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotPublic {
    #[error("it is not public")]
    Address,
    #[error("it is neither https nor inside a network that was opened for plain http")]
    Scheme,
}

/// What an address has to be.
#[derive(Clone)]
enum Rule {
    PublicOr(Arc<[AddressBlock]>),
    Within(Arc<[AddressBlock]>),
}

impl Outside {
    /// With `opened` for the networks that may be asked although they are private.
    ///
    /// # Errors
    /// Where TLS cannot be set up. A default crypto provider has to be installed before.
    pub fn new(opened: Vec<AddressBlock>) -> Result<Self, NoClient> {
        let opened: Arc<[AddressBlock]> = opened.into();
        let guarded = |rule| client().dns_resolver(Arc::new(Guarded(rule))).build();
        Ok(Self {
            encrypted: guarded(Rule::PublicOr(Arc::clone(&opened)))?,
            plain: guarded(Rule::Within(Arc::clone(&opened)))?,
            opened,
        })
    }

    /// The client that may ask `url`. A name is judged when it is resolved; the resolver is never asked about an address
    /// that stands in the URL itself, so that is judged here.
    pub(super) fn client_for(&self, url: &Url) -> Result<&reqwest::Client, NotPublic> {
        let opened = || Arc::clone(&self.opened);
        let (client, rule) = match url.scheme() {
            "https" => (&self.encrypted, Rule::PublicOr(opened())),
            "http" if !self.opened.is_empty() => (&self.plain, Rule::Within(opened())),
            _ => return Err(NotPublic::Scheme),
        };
        let allowed = match url.host() {
            Some(Host::Ipv4(address)) => rule.allows(address.into()),
            Some(Host::Ipv6(address)) => rule.allows(address.into()),
            Some(Host::Domain(_)) => true,
            None => false,
        };
        if allowed {
            Ok(client)
        } else {
            Err(NotPublic::Address)
        }
    }
}

impl Rule {
    fn allows(&self, address: IpAddr) -> bool {
        let within = |blocks: &[AddressBlock]| blocks.iter().any(|block| block.contains(address));
        match self {
            Self::PublicOr(blocks) => is_public(address) || within(blocks),
            Self::Within(blocks) => within(blocks),
        }
    }
}

/// Resolves names as the system does, and keeps what the rule allows.
struct Guarded(Rule);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| rule.allows(address.ip())).collect();
            if allowed.is_empty() {
                return Err(NotPublic::Address.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(opened: &[&str], url: &str) -> Result<(), NotPublic> {
        // Another test of this process may have done it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let opened = opened.iter().map(|text| text.parse().unwrap()).collect();
        let outside = Outside::new(opened).unwrap();
        outside.client_for(&Url::parse(url).unwrap()).map(drop)
    }

    #[test]
    fn addresses_in_the_url_are_judged_however_they_are_written() {
        assert_eq!(asked(&[], "https://8.8.8.8/v.mp4"), Ok(()));
        assert_eq!(asked(&[], "https://[2606:4700::1111]/v.mp4"), Ok(()));
        assert_eq!(asked(&[], "https://cdn.example/v.mp4"), Ok(()));
        for private in [
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
        ] {
            assert_eq!(asked(&[], private), Err(NotPublic::Address), "{private}");
        }
    }

    #[test]
    fn plain_http_is_for_networks_that_were_opened() {
        assert_eq!(asked(&[], "http://8.8.8.8/"), Err(NotPublic::Scheme));
        assert_eq!(asked(&["10.0.0.0/8"], "http://10.1.2.3/"), Ok(()));
        assert_eq!(asked(&["10.0.0.0/8"], "https://10.1.2.3/"), Ok(()));
        assert_eq!(
            asked(&["10.0.0.0/8"], "http://8.8.8.8/"),
            Err(NotPublic::Address)
        );
        assert_eq!(
            asked(&["::/0"], "file:///etc/passwd"),
            Err(NotPublic::Scheme)
        );
        assert_eq!(asked(&["::/0"], "ftp://[::1]/"), Err(NotPublic::Scheme));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_followed() {
        let guarded = Guarded(Rule::PublicOr(Vec::new().into()));
        let refused = guarded.resolve("localhost".parse().unwrap()).await;
        let refused = refused.err().expect("localhost leads here");
        assert_eq!(refused.downcast_ref(), Some(&NotPublic::Address));
        let opened = vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let guarded = Guarded(Rule::Within(opened.into()));
        let found = guarded.resolve("localhost".parse().unwrap()).await;
        assert!(found.is_ok_and(|mut found| found.next().is_some()));
    }
}
