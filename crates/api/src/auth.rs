//! Who asks, and whether they may: a key in the `Authorization` header and its role.
//!
//! Each endpoint names what it needs by the extractor it takes. Objects of other workspaces are never a matter of
//! role: they are not found.

use axum::extract::FromRequestParts;
use filmgate_core::id::WorkspaceId;
use filmgate_core::key::{Key, KeyText, OutOfForce, Role};
use filmgate_engine::keys::Login;
use filmgate_engine::{Caller, Operator};
use http::header::AUTHORIZATION;
use http::request::Parts;

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

async fn with_role(parts: &Parts, api: &Shared, needed: Role) -> Result<Key, ApiError> {
    let key = genuine(parts, api).await?;
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
async fn genuine(parts: &Parts, api: &Shared) -> Result<Key, ApiError> {
    let text = sent(parts)?;
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
    use super::bearer;

    #[test]
    fn only_a_bearer_header_carries_a_key() {
        assert_eq!(bearer("Bearer fg_a_b"), Some("fg_a_b"));
        assert_eq!(bearer("bearer  fg_a_b "), Some("fg_a_b"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("fg_a_b"), None);
    }
}
