//! Who asks, and whether they may: a key in the `Authorization` header and its role.
//!
//! Each endpoint names what it needs by the extractor it takes. Objects of other workspaces are never a matter of
//! role: they are not found.

use axum::extract::FromRequestParts;
use filmgate_core::key::{Key, Role};
use filmgate_engine::Caller;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::Shared;
use crate::error::ApiError;

/// May look at its workspace.
pub(crate) struct Reader(pub(crate) Key);
/// May create, cancel and delete in its workspace.
pub(crate) struct Member(pub(crate) Key);
/// May do what only operators do.
pub(crate) struct Admin(pub(crate) Key);

impl Member {
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            key: self.0.id,
            workspace: self.0.workspace,
        }
    }
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
    let mut sent = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (sent.next(), sent.next()) else {
        return Err(ApiError::unauthorised(
            "send one header `Authorization: Bearer <key>`",
        ));
    };
    let text = header.to_str().ok().and_then(bearer).ok_or_else(|| {
        ApiError::unauthorised("the Authorization header is not of the form `Bearer <key>`")
    })?;
    let key = api
        .engine
        .authenticate(text)
        .await?
        .ok_or_else(|| ApiError::unauthorised("this key is unknown, wrong or revoked"))?;
    if key.role < needed {
        return Err(ApiError::forbidden(format!(
            "this call needs a key with the role {}; this key's role is {}",
            needed.as_str(),
            key.role.as_str()
        )));
    }
    Ok(key)
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
