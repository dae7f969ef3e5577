//! Accounts at vendors whose address is known: a key is all they need.

use filmgate_core::provider::Secret;
use filmgate_providers::openai_compatible::check_base_url;
use url::Url;

use super::super::keys::Keys;
use super::super::variable;

/// An account at a vendor whose address and models are known.
#[derive(Debug, Clone)]
pub(crate) struct VendorAccount {
    /// The vendor's own, unless something else stands in for it.
    pub(crate) base_url: Url,
    /// The operator's; without one only workspaces that have their own use it.
    pub(crate) api_key: Option<Secret>,
}

/// What the section says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct On {
    pub(super) enabled: bool,
    /// Its kind is written down, so that it is meant even without a key of the operator's.
    pub(super) named: bool,
}

/// An account whose key is written down, or in the variable that usually holds it. Without one it is for workspaces that
/// have their own.
pub(super) fn vendor(
    base_url_known: &str,
    key_variable: &str,
    on: On,
    keys: &mut Keys<'_>,
) -> VendorAccount {
    let base_url = if keys.has("base_url") {
        base_url(keys)
    } else {
        Url::parse(base_url_known).expect("an adapter knows its vendor's address")
    };
    let written = keys.has("api_key");
    let api_key = api_key(on.enabled, keys).or_else(|| {
        (!written)
            .then(|| variable(key_variable))
            .flatten()
            .map(Secret::new)
    });
    if api_key.is_none() && on.enabled && !on.named && !written {
        keys.fault(
            "api_key",
            format!("it is required, unless the variable {key_variable} is set, or kind, for workspaces' own keys alone"),
        );
    }
    VendorAccount { base_url, api_key }
}

/// Anything, where it was noted that there is none.
pub(super) fn base_url(keys: &mut Keys<'_>) -> Url {
    let none = || Url::parse("http://none.invalid/").expect("this is an address");
    let Some(text) = keys.need::<String>("base_url") else {
        return none();
    };
    let checked = Url::parse(&text)
        .map_err(|_| "an http or https address with a host is allowed")
        .and_then(|url| check_base_url(&url).map(|()| url));
    checked.unwrap_or_else(|why| {
        keys.fault("base_url", why);
        none()
    })
}

/// The key itself, or `env:` and the variable that holds it. It is never repeated, however wrong it is.
pub(super) fn api_key(enabled: bool, keys: &mut Keys<'_>) -> Option<Secret> {
    let value = keys.value("api_key")?;
    let Some(text) = value.as_str() else {
        keys.fault(
            "api_key",
            "a text is allowed: the key, or env: and a variable's name",
        );
        return None;
    };
    let key = match text.strip_prefix("env:") {
        None => text.to_owned(),
        // A provider that is switched off need not have its key at hand.
        Some(_) if !enabled => return None,
        Some(name) => {
            let Some(key) = variable(name) else {
                keys.fault("api_key", format!("the variable {name} is not set"));
                return None;
            };
            key
        }
    };
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        keys.fault("api_key", "it is empty, or has characters that no key has");
        return None;
    }
    Some(Secret::new(key))
}
