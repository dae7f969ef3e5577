//! `GET` and `HEAD /v1/videos/{video_id}/inputs/{index}`: what a client gave, for the provider that makes the video.
//!
//! By a signed link alone, which the engine writes into its message to a provider.

use axum::extract::{Path, State};
use axum::response::Response;
use filmgate_assets::signed_link::Variant;
use http::header::ACCEPT_RANGES;
use http::{Method, StatusCode};

use super::content::{Object, by_signed_link, bytes, describe, still_kept};
use crate::Shared;
use crate::error::{ApiError, ErrorBody};
use crate::native::the_job;
use crate::query::Query;

/// Fetch an input's bytes
///
/// For providers, by a signed link that the gateway gave them.
#[utoipa::path(
    get,
    path = "/{video_id}/inputs/{index}",
    operation_id = "get_video_input",
    tag = "videos",
    security(()),
    params(
        ("video_id" = String, Path, description = "`video_` and 26 characters"),
        ("index" = u32, Path, description = "which input"),
        ("download_token" = String, Query, description = "of a signed link"),
        ("download_sig" = String, Query, description = "of a signed link"),
        ("expires_at" = i64, Query, description = "of a signed link"),
    ),
    responses(
        (status = 200, description = "All of it", content((Vec<u8> = "image/png"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/webp"), (Vec<u8> = "video/mp4"), (Vec<u8> = "audio/mpeg"))),
        (status = 403, description = "The link's signature does not match", body = ErrorBody),
        (status = 404, description = "No such video or input, or it was deleted", body = ErrorBody),
        (status = 410, description = "The link has expired (`link_expired`), or retention has removed the bytes (`asset_expired`)", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn input(
    State(api): State<Shared>,
    Path((id, index)): Path<(String, String)>,
    query: Query,
    method: Method,
) -> Result<Response, ApiError> {
    let id = id.parse().map_err(|_| ApiError::no_video())?;
    let grant = by_signed_link(&api, id, &query)?.grant;
    if grant.variant != Variant::Input || index != grant.index.to_string() {
        return Err(ApiError::forbidden(
            "the link is for another object; use it exactly as it was given",
        )
        .reason("bad_signature"));
    }
    let job = the_job(api.engine.find(grant.workspace, grant.video).await?)?;
    still_kept(&job)?;
    let inputs = &job.admission.request.inputs;
    let input = usize::try_from(grant.index)
        .ok()
        .and_then(|at| inputs.get(at));
    let input = input.ok_or_else(|| {
        ApiError::not_found(format!("the video has no input {index}"))
            .reason("video_input_not_found")
    })?;
    let object = Object {
        key: &input.key,
        mime_type: &input.mime_type,
        bytes: input.bytes,
        sha256: &input.sha256,
        extension: extension(&input.mime_type),
    };
    let whole = 0..object.bytes;
    let mut response = bytes(&api, &job, &object, whole, StatusCode::OK, &method).await?;
    describe(&mut response, &grant, &object);
    response.headers_mut().remove(ACCEPT_RANGES);
    Ok(response)
}

fn extension(mime_type: &str) -> &'static str {
    match mime_type {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        "video/webm" => "webm",
        "video/quicktime" => "mov",
        "video/x-matroska" => "mkv",
        "audio/mpeg" => "mp3",
        "audio/wav" => "wav",
        "audio/mp4" => "m4a",
        _ => "mp4",
    }
}
