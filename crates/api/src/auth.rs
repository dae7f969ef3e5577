//! Who asks, and whether they may: a key in the `Authorization` header and its role.
//!
//! Each endpoint names what it needs by the extractor it takes. Objects of other workspaces are never a matter of
//! role: they are not found.

use axum::extract::FromRequestParts;
use filmgate_core::id::WorkspaceId;
use filmgate_core::key::{Key, KeyText, OutOfForce, Role};
use filmgate_engine::keys::Login;
use filmgate_engine::{Caller, Operator};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::arrival::Arrival;
use crate::error::ApiError;
use crate::origin::client_address;
use crate::{Api, Shared};

/// May look at its workspace.
pub(crate) struct Reader(pub(crate) Key);
/// May create, cancel and delete in its workspace.
pub(crate) struct Member(pub(crate) Key);
/// May do what only operators do.
pub(crate) struct Admin(pub(crate) Key);

/// A [`Reader`] that may send its key as a WebSocket subprotocol: browsers let a page set no header there.
pub(crate) struct SocketReader {
    pub(crate) key: Key,
    /// What the answer has to name among the subprotocols offered, where one of ours was.
    pub(crate) protocol: Option<HeaderValue>,
}

/// The subprotocol that says nothing but what it is.
const PROTOCOL: &str = "filmgate";
/// In front of a key, the subprotocol that carries it.
const KEY_PROTOCOL: &str = "filmgate.key.";

impl Member {
    pub(crate) fn caller(&self) -> Caller {
        caller(&self.0)
    }
}

impl Admin {
    /// Who makes a change by `route`, and how it was asked for.
    pub(crate) fn operator(&self, arrival: Arrival, route: &'static str) -> Operator {
        let (request_id, key) = arrival.marks();
        Operator {
            caller: Some(caller(&self.0)),
            request_id: Some(request_id),
            idempotency: key.map(|key| (route, key)),
        }
    }
}

fn caller(key: &Key) -> Caller {
    Caller {
        key: key.id,
        workspace: key.workspace,
    }
}

/// The workspace a call is about: the one it names, else the caller's own. Only an admin may name another.
pub(crate) async fn workspace_of(
    api: &Api,
    key: &Key,
    named: Option<&str>,
) -> Result<WorkspaceId, ApiError> {
    let Some(text) = named else {
        return Ok(key.workspace);
    };
    let id = text
        .parse()
        .map_err(|error| ApiError::bad_id("workspace_id", &error))?;
    let visible = id == key.workspace
        || (key.terms.role == Role::Admin
            && api.engine.store().find_workspace(id).await?.is_some());
    visible.then_some(id).ok_or_else(ApiError::no_workspace)
}

impl FromRequestParts<Shared> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        with_role(parts, api, Role::Read).await.map(Self)
    }
}

impl FromRequestParts<Shared> for Member {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        with_role(parts, api, Role::Member).await.map(Self)
    }
}

impl FromRequestParts<Shared> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        with_role(parts, api, Role::Admin).await.map(Self)
    }
}

impl FromRequestParts<Shared> for SocketReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let (with_key, plain) = offered(&parts.headers);
        let text = match with_key {
            Some(protocol) if !parts.headers.contains_key(AUTHORIZATION) => {
                &protocol[KEY_PROTOCOL.len()..]
            }
            _ => sent(parts)?,
        };
        let key = of_role(parts, api, text, Role::Read).await?;
        let chosen = if plain { Some(PROTOCOL) } else { with_key };
        let protocol = chosen.and_then(|chosen| HeaderValue::from_str(chosen).ok());
        let protocol = protocol.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Ok(Self { key, protocol })
    }
}

/// Of the WebSocket subprotocols offered, the one that carries a key, and whether the plain one is among them.
fn offered(headers: &HeaderMap) -> (Option<&str>, bool) {
    let offered = || {
        headers
            .get_all(SEC_WEBSOCKET_PROTOCOL)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
    };
    let with_key = offered().find(|protocol| protocol.starts_with(KEY_PROTOCOL));
    (with_key, offered().any(|protocol| protocol == PROTOCOL))
}

async fn with_role(parts: &Parts, api: &Shared, needed: Role) -> Result<Key, ApiError> {
    of_role(parts, api, sent(parts)?, needed).await
}

async fn of_role(parts: &Parts, api: &Shared, text: &str, needed: Role) -> Result<Key, ApiError> {
    let key = genuine(parts, api, text).await?;
    if let Err(wait) = api.limits.key_rate.count(key.id) {
        return Err(ApiError::rate_limited(
            "this key makes more calls than it may",
            wait,
        ));
    }
    if key.terms.role < needed {
        return Err(ApiError::forbidden(format!(
            "this call needs a key with the role {}; this key's role is {}",
            needed.as_str(),
            key.terms.role.as_str()
        )));
    }
    Ok(key)
}

/// The key that was sent, if it is one and in force.
async fn genuine(parts: &Parts, api: &Shared, text: &str) -> Result<Key, ApiError> {
    match api.engine.authenticate(text).await? {
        Login::Genuine(key) => Ok(key),
        Login::OutOfForce(why) => Err(out_of_force(why)),
        Login::Wrong { kid_exists } => {
            let kid = KeyText::parse(text).filter(|_| kid_exists);
            let address = client_address(parts, api);
            let counted =
                api.limits
                    .failed_logins
                    .count(address, kid.map(|key| key.kid), api.engine.now());
            Err(match counted {
                Ok(()) => ApiError::unauthorised("this key is unknown or wrong"),
                Err(wait) => {
                    ApiError::rate_limited("too many wrong keys came from this address", wait)
                        .reason("too_many_failed_logins")
                }
            })
        }
    }
}

fn sent(parts: &Parts) -> Result<&str, ApiError> {
    let mut sent = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (sent.next(), sent.next()) else {
        return Err(ApiError::unauthorised(
            "send one header `Authorization: Bearer <key>`",
        ));
    };
    header.to_str().ok().and_then(bearer).ok_or_else(|| {
        ApiError::unauthorised("the Authorization header is not of the form `Bearer <key>`")
    })
}

/// Only whoever knows the secret is told.
fn out_of_force(why: OutOfForce) -> ApiError {
    let (description, reason) = match why {
        OutOfForce::Revoked => ("this key was revoked", "key_revoked"),
        OutOfForce::Disabled => ("this key is disabled", "key_disabled"),
        OutOfForce::Expired => ("this key has expired", "key_expired"),
    };
    ApiError::unauthorised(description).reason(reason)
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, rest) = header.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| rest.trim_matches(' '))
}

#[cfg(test)]
mod tests {
    use super::{bearer, offered};
    use http::HeaderMap;
    use http::header::SEC_WEBSOCKET_PROTOCOL;

    #[test]
    fn only_a_bearer_header_carries_a_key() {
        assert_eq!(bearer("Bearer fg_a_b"), Some("fg_a_b"));
        assert_eq!(bearer("bearer  fg_a_b "), Some("fg_a_b"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("fg_a_b"), None);
    }

    #[test]
    fn a_key_is_found_among_the_subprotocols_offered() {
        let found = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SEC_WEBSOCKET_PROTOCOL, value.parse().unwrap());
            }
            let (with_key, plain) = offered(&headers);
            (with_key.map(str::to_owned), plain)
        };
        let key = || Some("filmgate.key.fg_a_b".to_owned());
        assert_eq!(found(&[]), (None, false));
        assert_eq!(found(&["filmgate.key.fg_a_b"]), (key(), false));
        assert_eq!(
            found(&["chat,filmgate.key.fg_a_b , filmgate"]),
            (key(), true)
        );
        assert_eq!(found(&["filmgate", "filmgate.key.fg_a_b"]), (key(), true));
        assert_eq!(found(&["filmgate.keys, film"]), (None, false));
    }
}
