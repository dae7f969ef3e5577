//! Addresses that a client or a provider's answer names: nobody here vouches for those.
//!
//! https and public addresses alone, looked at when the connection is made, so that no name can first show one address
//! and then lead to another. Redirects are followed by hand, each judged like the first address. An operator may open
//! networks of their own (`security.allow_private_networks`); inside those, plain http will do too. Any port is as good as
//! another: what is guarded is where a connection leads.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use filmgate_core::address::{AddressBlock, is_public, is_public_name};
use http::HeaderMap;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::network::{NoClient, client, followed};
use super::{AnswerBody, LineError};

/// The way to addresses that are not the operator's own. Cheap to clone, one for all providers.
#[derive(Clone)]
pub struct Outside {
    opened: Arc<[AddressBlock]>,
    encrypted: reqwest::Client,
    plain: reqwest::Client,
}

/// Why an address is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPublic {
    #[error("it is not public")]
    Address,
    #[error("it is neither https nor inside a network that was opened for plain http")]
    Scheme,
    #[error("it carries a user name or a password")]
    Login,
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
        Self::resolving(opened, Arc::new(System))
    }

    /// The same, with names looked up by `names`.
    fn resolving(opened: Vec<AddressBlock>, names: Arc<dyn Resolve>) -> Result<Self, NoClient> {
        let opened: Arc<[AddressBlock]> = opened.into();
        // A connection for each message: its address is judged anew.
        let guarded = |rule| {
            let names = Arc::clone(&names);
            let resolver = Guarded { rule, names };
            let client = client().pool_max_idle_per_host(0);
            client.dns_resolver(Arc::new(resolver)).build()
        };
        Ok(Self {
            encrypted: guarded(Rule::PublicOr(Arc::clone(&opened)))?,
            plain: guarded(Rule::Within(Arc::clone(&opened)))?,
            opened,
        })
    }

    /// Judges `url` by its text. What its name leads to is judged when somebody connects.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn judge(&self, url: &Url) -> Result<(), NotPublic> {
        self.client_for(url).map(drop)
    }

    /// Asks for a file, redirects followed, with nothing that says who asks.
    pub(crate) async fn fetch(&self, url: Url) -> Result<http::Response<AnswerBody>, LineError> {
        followed(url, |url| Ok((self.client_for(url)?, HeaderMap::new()))).await
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
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NotPublic::Login);
        }
        let allowed = match url.host() {
            Some(Host::Ipv4(address)) => rule.allows(address.into()),
            Some(Host::Ipv6(address)) => rule.allows(address.into()),
            // A name of the inside may lead into a network that was opened.
            Some(Host::Domain(name)) => !self.opened.is_empty() || is_public_name(name),
            None => false,
        };
        if allowed {
            Ok(client)
        } else {
            Err(NotPublic::Address)
        }
    }
}

impl From<NotPublic> for LineError {
    fn from(why: NotPublic) -> Self {
        Self::Forbidden(why.to_string())
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

/// Looks names up by another resolver, and keeps what the rule allows.
struct Guarded {
    rule: Rule,
    names: Arc<dyn Resolve>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = self.rule.clone();
        let found = self.names.resolve(name);
        Box::pin(async move {
            let allowed: Vec<SocketAddr> = found
                .await?
                .filter(|address| rule.allows(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(NotPublic::Address.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

/// Names as the operating system resolves them.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            let found: Addrs = Box::new(found.into_iter());
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests;
