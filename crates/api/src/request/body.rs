//! Reading a body: bounded in size, and in how long a client may stall.

use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequest;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request};
use serde::de::DeserializeOwned;

use super::create::Create;
use super::{json, multipart, typed};
use crate::Shared;
use crate::error::ApiError;
use crate::limits::Room;
use crate::request::shortened;

/// A client that sends nothing for so long has gone.
const STALL: Duration = Duration::from_secs(30);
/// A client that takes longer than this for a whole body holds memory others need.
const MOST_TIME: Duration = Duration::from_secs(300);
/// Larger bodies are parsed off the threads that serve requests.
const PARSED_IN_PLACE: usize = 256 << 10;

/// A small JSON body, parsed.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be left out.
pub(crate) struct OptionalJson<T>(pub(crate) T);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Multipart,
}

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, api: &Shared) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if kind(&parts.headers)? != Kind::Json {
            return Err(ApiError::unsupported_media_type(
                "send application/json; multipart is for creates and quotes",
            ));
        }
        let bytes = read(body, &parts.headers, api.config.json_body_bytes, None).await?;
        typed::read(json::object(&bytes)?).map(Self)
    }
}

impl<T: DeserializeOwned + Default> FromRequest<Shared> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, api: &Shared) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, &parts.headers, api.config.json_body_bytes, None).await?;
        if matches!(bytes.trim_ascii(), b"" | b"null") {
            return Ok(Self(T::default()));
        }
        if kind(&parts.headers)? != Kind::Json {
            return Err(ApiError::unsupported_media_type("send application/json"));
        }
        typed::read(json::object(&bytes)?).map(Self)
    }
}

impl FromRequest<Shared> for Create {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, api: &Shared) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let kind = kind(&parts.headers)?;
        let mut room = api.limits.body_memory.room();
        let most = api.config.create_body_bytes;
        let bytes = read(body, &parts.headers, most, Some(&mut room)).await?;
        let create = match kind {
            Kind::Json => {
                let most = api.config.json_body_bytes;
                parsed(bytes.len(), move || {
                    json::within(&bytes, most)?;
                    Create::read(json::object(&bytes)?, Vec::new())
                })
                .await
            }
            Kind::Multipart => {
                let content_type = parts.headers.get(CONTENT_TYPE).cloned();
                let length = bytes.len();
                let (map, uploads) =
                    multipart::read(content_type, bytes, api.config.json_body_bytes).await?;
                parsed(length, move || Create::read(map, uploads)).await
            }
        }?;
        Ok(Create {
            room: Some(room),
            ..create
        })
    }
}

async fn parsed<T: Send + 'static>(
    length: usize,
    parse: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if length <= PARSED_IN_PLACE {
        return parse();
    }
    match tokio::task::spawn_blocking(parse).await {
        Ok(parsed) => parsed,
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        Err(cancelled) => Err(ApiError::internal(&cancelled)),
    }
}

/// A body without a content type is taken for JSON: that is what one who forgets it sends.
fn kind(headers: &HeaderMap) -> Result<Kind, ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(Kind::Json);
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Kind::Json),
        "multipart/form-data" => Ok(Kind::Multipart),
        other if other.starts_with("application/") && other.ends_with("+json") => Ok(Kind::Json),
        other => Err(ApiError::unsupported_media_type(format!(
            "{:?} was sent; allowed are application/json and, for creates and quotes, multipart/form-data",
            shortened(other)
        ))),
    }
}

/// At most `most` bytes; they take `room` as they come, where memory is counted.
async fn read(
    body: Body,
    headers: &HeaderMap,
    most: u64,
    room: Option<&mut Room>,
) -> Result<Bytes, ApiError> {
    tokio::time::timeout(MOST_TIME, read_all(body, headers, most, room))
        .await
        .unwrap_or_else(|_| {
            Err(ApiError::timeout(format!(
                "the body took longer than {} seconds",
                MOST_TIME.as_secs()
            )))
        })
}

async fn read_all(
    body: Body,
    headers: &HeaderMap,
    most: u64,
    mut room: Option<&mut Room>,
) -> Result<Bytes, ApiError> {
    let too_large =
        || ApiError::too_large(format!("the body has more than the {most} bytes allowed"));
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(too_large());
    }
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    loop {
        let next = tokio::time::timeout(STALL, stream.next())
            .await
            .map_err(|_| {
                ApiError::timeout(format!(
                    "nothing of the body arrived for {} seconds",
                    STALL.as_secs()
                ))
            })?;
        let Some(chunk) = next else {
            return Ok(whole.freeze());
        };
        let chunk = chunk
            .map_err(|_| ApiError::validation("body", "it broke off before its announced end"))?;
        if (whole.len() + chunk.len()) as u64 > most {
            return Err(too_large());
        }
        if let Some(room) = &mut room
            && !room.hold((whole.len() + chunk.len()) as u64)
        {
            return Err(ApiError::overloaded(
                "the server is reading as many large bodies as it has memory for; nothing was done, try again",
            ));
        }
        whole.extend_from_slice(&chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_or_drips_is_given_up() {
        let never = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        let error = read(never, &HeaderMap::new(), 10, None).await.unwrap_err();
        assert_eq!(error.status(), http::StatusCode::REQUEST_TIMEOUT);
        let drip = futures::stream::unfold((), |()| async {
            tokio::time::sleep(STALL / 2).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
        });
        let error = read(Body::from_stream(drip), &HeaderMap::new(), 1000, None)
            .await
            .unwrap_err();
        assert_eq!(error.status(), http::StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_body_beyond_its_limit_is_refused_announced_or_not() {
        let error = read(Body::from("12345"), &HeaderMap::new(), 4, None)
            .await
            .unwrap_err();
        assert_eq!(error.status(), http::StatusCode::PAYLOAD_TOO_LARGE);
        let announced = HeaderMap::from_iter([(CONTENT_LENGTH, 5.into())]);
        let error = read(Body::empty(), &announced, 4, None).await.unwrap_err();
        assert_eq!(error.status(), http::StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(
            read(Body::from("1234"), &HeaderMap::new(), 4, None)
                .await
                .unwrap(),
            "1234"
        );
    }
}
