//! `POST /v1/videos/{video_id}/download_url`: a link that lasts as long as the client wants.

use axum::extract::State;
use axum::response::Response;
use filmgate_assets::signed_link::{Disposition, LinkGrant, Variant};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::content::the_object;
use super::{frame, json};
use crate::Shared;
use crate::auth::Member;
use crate::error::{ApiError, ErrorBody};
use crate::native::{Named, the_job};
use crate::request::body::OptionalJson;
use crate::request::fields::Whole;
use crate::request::shortened;

/// What the link is for. Everything may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkWish {
    /// Which output; 0 by default.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 3)]
    index: Option<Whole>,
    /// `video` (the default) or `thumbnail`.
    variant: Option<String>,
    /// Seconds the link lasts, 900 by default; below 60 becomes 60.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 3600)]
    ttl_seconds: Option<Whole>,
    /// `attachment` (the default) or `inline`.
    disposition: Option<String>,
}

/// A link that needs no key.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DownloadLink {
    download_url: String,
    /// Unix seconds.
    expires_at: i64,
}

/// Make a download link
#[utoipa::path(
    post,
    path = "/{video_id}/download_url",
    operation_id = "create_download_url",
    tag = "videos",
    security(("bearer" = [])),
    params(("video_id" = String, Path, description = "`video_` and 26 characters")),
    request_body(content = Option<LinkWish>, content_type = "application/json"),
    responses(
        (status = 200, description = "The link", body = DownloadLink),
        (status = 400, description = "A field does not hold what it may, or the video is not completed: `video_download_requires_completed_status`", body = ErrorBody),
        (status = 401, description = "No key, or not a valid one", body = ErrorBody),
        (status = 403, description = "The key's role is not enough", body = ErrorBody),
        (status = 404, description = "No such video or output in this workspace, or it was deleted", body = ErrorBody),
        (status = 408, description = "The body stalled", body = ErrorBody),
        (status = 410, description = "Retention has removed the bytes: `asset_expired`", body = ErrorBody),
        (status = 413, description = "The body is too large", body = ErrorBody),
        (status = 415, description = "Not JSON", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn download_url(
    State(api): State<Shared>,
    Member(key): Member,
    Named(id): Named,
    OptionalJson(wish): OptionalJson<LinkWish>,
) -> Result<Response, ApiError> {
    let index = wish.index.map_or(0, |index| index.0);
    let index = u32::try_from(index).map_err(|_| {
        ApiError::validation("index", format!("{index} was sent; allowed are 0 and up"))
    })?;
    let variant = variant(wish.variant.as_deref())?;
    let disposition = disposition(wish.disposition.as_deref())?;
    let seconds = wish.ttl_seconds.map_or(900, |seconds| seconds.0);
    if !(1..=3600).contains(&seconds) {
        return Err(ApiError::validation(
            "ttl_seconds",
            format!("{seconds} was sent; allowed are whole numbers from 1 to 3600"),
        ));
    }
    let job = the_job(api.engine.find(key.workspace, id).await?)?;
    if job.life.status() != filmgate_core::job::Status::Completed {
        return Err(ApiError::validation(
            "video_id",
            format!(
                "the video is {}; a link needs a completed one",
                job.life.status().as_str()
            ),
        )
        .reason("video_download_requires_completed_status")
        .about(job.admission.generation_id));
    }
    the_object(&job, index, variant)?;
    let grant = LinkGrant {
        workspace: key.workspace,
        video: id,
        index,
        variant,
        disposition,
    };
    let expires_at = api.engine.now().seconds() + seconds.max(60);
    Ok(json(DownloadLink {
        download_url: frame(&api).signed_url(&job, &grant, expires_at),
        expires_at,
    }))
}

pub(crate) fn variant(word: Option<&str>) -> Result<Variant, ApiError> {
    match word {
        None | Some("video") => Ok(Variant::Video),
        Some("thumbnail") => Ok(Variant::Thumbnail),
        Some("spritesheet") => Err(ApiError::not_supported(
            "variant",
            "\"spritesheet\" was sent; allowed are video and thumbnail in this version",
        )),
        Some(other) => Err(ApiError::validation(
            "variant",
            format!(
                "{:?} was sent; allowed are video and thumbnail",
                shortened(other)
            ),
        )),
    }
}

fn disposition(word: Option<&str>) -> Result<Disposition, ApiError> {
    match word {
        None | Some("attachment") => Ok(Disposition::Attachment),
        Some("inline") => Ok(Disposition::Inline),
        Some(other) => Err(ApiError::validation(
            "disposition",
            format!(
                "{:?} was sent; allowed are attachment and inline",
                shortened(other)
            ),
        )),
    }
}
