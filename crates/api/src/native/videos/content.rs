//! `GET` and `HEAD /v1/videos/{video_id}/content`: the bytes, with a key or by a signed link.

mod conditions;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use filmgate_assets::ObjectKey;
use filmgate_assets::bucket_link::{BucketLink, Described};
use filmgate_assets::range::Wanted;
use filmgate_assets::read::ReadError;
use filmgate_assets::signed_link::{Disposition, LinkGrant, SignedQuery, Variant};
use filmgate_core::id::VideoId;
use filmgate_core::job::{Job, State as JobState, Status};
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use self::conditions::{http_date, is_unchanged, range_holds};
use super::download_url;
use crate::auth::Reader;
use crate::error::{ApiError, ErrorBody};
use crate::native::{Named, the_job};
use crate::query::Query;
use crate::{Api, Shared};

/// What a request may fetch, by its key or its link.
pub(crate) struct Granted {
    pub(super) grant: LinkGrant,
    /// When the signed link it came by ends, in unix seconds.
    link_ends_at: Option<i64>,
}

impl FromRequestParts<Shared> for Granted {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, ApiError> {
        let query = Query::read(parts.uri.query().unwrap_or_default());
        let by_link = ["download_token", "download_sig"]
            .iter()
            .any(|name| query.last(name).is_some());
        if by_link {
            let Named(id) = Named::from_request_parts(parts, api).await?;
            return by_signed_link(api, id, &query);
        }
        let Reader(key) = Reader::from_request_parts(parts, api).await?;
        let Named(id) = Named::from_request_parts(parts, api).await?;
        let grant = LinkGrant {
            workspace: key.workspace,
            video: id,
            index: index(&query)?,
            variant: download_url::variant(query.last("variant"))?,
            disposition: Disposition::Attachment,
        };
        Ok(Self {
            grant,
            link_ends_at: None,
        })
    }
}

/// Judged before anything is looked up. A link opens what it was made for and nothing else.
pub(super) fn by_signed_link(api: &Api, id: VideoId, query: &Query) -> Result<Granted, ApiError> {
    let text = |name| query.last(name).unwrap_or_default().to_owned();
    let link = SignedQuery {
        download_token: text("download_token"),
        download_sig: text("download_sig"),
        // What is no number was not signed either.
        expires_at: query
            .last("expires_at")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
    };
    let grant = api.link_keys.verify(id, &link, api.engine.now())?;
    let other_index = query.last("index").is_some() && index(query)? != grant.index;
    let other_variant = query.last("variant").is_some()
        && download_url::variant(query.last("variant"))? != grant.variant;
    if other_index || other_variant {
        return Err(ApiError::forbidden(
            "the link is for another index or variant; use it exactly as it was given",
        )
        .reason("bad_signature"));
    }
    Ok(Granted {
        grant,
        link_ends_at: Some(link.expires_at),
    })
}

fn index(query: &Query) -> Result<u32, ApiError> {
    let index = query.number("index", 0, i64::from(u32::MAX))?.unwrap_or(0);
    Ok(u32::try_from(index).unwrap_or(0))
}

/// One stored object, with what its headers say.
pub(crate) struct Object<'a> {
    pub(super) key: &'a str,
    pub(super) mime_type: &'a str,
    pub(super) bytes: u64,
    pub(super) sha256: &'a str,
    pub(super) extension: &'static str,
}

/// Fetch a video's bytes
///
/// With a key, or by a signed link without one. One range of bytes is served as such; `HEAD` works too.
#[utoipa::path(
    get,
    path = "/{video_id}/content",
    operation_id = "get_video_content",
    tag = "videos",
    security(("bearer" = []), ()),
    params(
        ("video_id" = String, Path, description = "`video_` and 26 characters"),
        ("index" = Option<u32>, Query, description = "which output; 0 by default"),
        ("variant" = Option<String>, Query, description = "`video` (the default) or `thumbnail`"),
        ("download_token" = Option<String>, Query, description = "of a signed link"),
        ("download_sig" = Option<String>, Query, description = "of a signed link"),
        ("expires_at" = Option<i64>, Query, description = "of a signed link"),
        ("Range" = Option<String>, Header, description = "one range of bytes"),
        ("If-Range" = Option<String>, Header, description = "the `ETag` or `Last-Modified` the range belongs to"),
        ("If-None-Match" = Option<String>, Header, description = "the `ETag` of bytes already there"),
    ),
    responses(
        (status = 200, description = "All of it", content((Vec<u8> = "video/mp4"), (Vec<u8> = "video/webm"), (Vec<u8> = "video/quicktime"), (Vec<u8> = "video/x-matroska"), (Vec<u8> = "image/jpeg")), headers(
            ("ETag" = String, description = "the sha256 of the whole"),
            ("Last-Modified" = String, description = "when the video was completed"),
            ("Accept-Ranges" = String, description = "`bytes`"),
            ("Content-Disposition" = String, description = "an attachment with a file name"),
        )),
        (status = 206, description = "The range asked for", content((Vec<u8> = "video/mp4"), (Vec<u8> = "video/webm"), (Vec<u8> = "video/quicktime"), (Vec<u8> = "video/x-matroska"), (Vec<u8> = "image/jpeg"))),
        (status = 302, description = "By a signed link, where the operator sends clients to the bucket: the bytes are there", headers(("Location" = String, description = "good for as long as the link"))),
        (status = 304, description = "Unchanged"),
        (status = 400, description = "A parameter does not hold what it may", body = ErrorBody),
        (status = 401, description = "Neither a key nor a signed link", body = ErrorBody),
        (status = 403, description = "The link's signature does not match", body = ErrorBody),
        (status = 404, description = "No such video or output in this workspace, or it was deleted", body = ErrorBody),
        (status = 409, description = "Not ready: `video_not_ready`, `video_generation_failed`, `video_cancelled` or `video_expired`", body = ErrorBody),
        (status = 410, description = "The link has expired (`link_expired`), or retention has removed the bytes (`asset_expired`)", body = ErrorBody),
        (status = 416, description = "The range has nothing of the bytes", body = ErrorBody),
        (status = "5XX", description = "The gateway failed, or the video API is switched off", body = ErrorBody),
    ),
)]
pub(crate) async fn content(
    State(api): State<Shared>,
    granted: Granted,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Granted {
        grant,
        link_ends_at,
    } = granted;
    let job = the_job(api.engine.find(grant.workspace, grant.video).await?)?;
    let object = the_object(&job, grant.index, grant.variant)?;
    let etag = format!("\"{}\"", object.sha256);
    let modified = job.life.ended_at.map(|at| at.seconds());
    let mut response = if is_unchanged(&headers, &etag, modified) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let wanted = match headers.get(RANGE).and_then(|value| value.to_str().ok()) {
            Some(range) if range_holds(&headers, &etag, modified) => {
                Wanted::parse(range, object.bytes)
            }
            _ => Wanted::Whole,
        };
        match wanted {
            Wanted::Unsatisfiable => return Err(ApiError::range_not_satisfiable(object.bytes)),
            Wanted::Whole | Wanted::Part(_)
                if let Some(link) =
                    in_the_bucket(&api, &grant, &object, link_ends_at, &method).await =>
            {
                return Ok(elsewhere(&link));
            }
            Wanted::Whole => {
                let all = 0..object.bytes;
                bytes(&api, &job, &object, all, StatusCode::OK, &method).await?
            }
            Wanted::Part(part) => {
                let told = format!("bytes {}-{}/{}", part.start, part.end - 1, object.bytes);
                let partial = StatusCode::PARTIAL_CONTENT;
                let mut response = bytes(&api, &job, &object, part, partial, &method).await?;
                set(&mut response, CONTENT_RANGE, told);
                response
            }
        }
    };
    set(&mut response, ETAG, etag);
    if let Some(date) = modified.and_then(http_date) {
        set(&mut response, LAST_MODIFIED, date);
    }
    describe(&mut response, &grant, &object);
    Ok(response)
}

/// The object a grant leads to, or why there is none (any more).
pub(crate) fn the_object(job: &Job, index: u32, variant: Variant) -> Result<Object<'_>, ApiError> {
    let object = delivered(job, index, variant)?;
    still_kept(job)?;
    Ok(object)
}

/// The object as it was stored.
fn delivered(job: &Job, index: u32, variant: Variant) -> Result<Object<'_>, ApiError> {
    let JobState::Completed { assets, .. } = &job.life.state else {
        return Err(not_ready(job));
    };
    let missing = |reason, what: &str| {
        ApiError::not_found(format!("the video has no {what} with the index {index}"))
            .reason(reason)
            .about(job.admission.generation_id)
    };
    let asset = assets
        .iter()
        .find(|asset| asset.index == index)
        .ok_or_else(|| missing("video_output_not_found", "output"))?;
    match variant {
        Variant::Video => Ok(Object {
            key: &asset.key,
            mime_type: &asset.mime_type,
            bytes: asset.bytes,
            sha256: &asset.sha256,
            extension: match asset.mime_type.as_str() {
                "video/webm" => "webm",
                "video/quicktime" => "mov",
                "video/x-matroska" => "mkv",
                _ => "mp4",
            },
        }),
        Variant::Thumbnail => {
            let thumbnail = asset
                .thumbnail
                .as_ref()
                .ok_or_else(|| missing("video_thumbnail_not_found", "thumbnail"))?;
            Ok(Object {
                key: &thumbnail.key,
                mime_type: &thumbnail.mime_type,
                bytes: thumbnail.bytes,
                sha256: &thumbnail.sha256,
                extension: "jpg",
            })
        }
        Variant::Input => Err(missing("video_output_not_found", "output")),
    }
}

pub(super) fn still_kept(job: &Job) -> Result<(), ApiError> {
    let Some(removed_at) = job.life.bytes_removed_at else {
        return Ok(());
    };
    Err(ApiError::asset_expired(format!(
        "the bytes of this video were removed at {} (unix seconds), when their time was over",
        removed_at.seconds()
    ))
    .about(job.admission.generation_id))
}

fn not_ready(job: &Job) -> ApiError {
    let status = job.life.status();
    let reason = match status {
        Status::Queued | Status::Processing | Status::Completed => "video_not_ready",
        Status::Failed => "video_generation_failed",
        Status::Cancelled => "video_cancelled",
        Status::Expired => "video_expired",
    };
    ApiError::not_ready(format!(
        "the video is {}; its bytes come with completion",
        status.as_str()
    ))
    .reason(reason)
    .about(job.admission.generation_id)
}

pub(super) async fn bytes(
    api: &Api,
    job: &Job,
    object: &Object<'_>,
    part: std::ops::Range<u64>,
    status: StatusCode,
    method: &Method,
) -> Result<Response, ApiError> {
    let length = part.end - part.start;
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let key: ObjectKey = object
            .key
            .parse()
            .map_err(|error: filmgate_assets::key::InvalidObjectKey| ApiError::internal(&error))?;
        match api.engine.assets().read_range(&key, part).await {
            Ok(reading) => Body::from_stream(reading),
            Err(error) => return Err(unreadable(api, job, error).await?),
        }
    };
    let mut response = (status, body).into_response();
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// A link straight to the bucket, for whoever came by a link of ours and the operator sends there.
async fn in_the_bucket(
    api: &Api,
    grant: &LinkGrant,
    object: &Object<'_>,
    link_ends_at: Option<i64>,
    method: &Method,
) -> Option<BucketLink> {
    // The bucket's link is good for one method, and a HEAD costs no bytes here.
    if method != Method::GET {
        return None;
    }
    let left = link_ends_at? - api.engine.now().seconds();
    let lasts = Duration::from_secs(u64::try_from(left).ok()?.max(1));
    let key: ObjectKey = object.key.parse().ok()?;
    let described = Described {
        content_type: object.mime_type,
        content_disposition: &disposition(grant, object),
    };
    api.engine.assets().signed_get(&key, lasts, described).await
}

fn elsewhere(link: &BucketLink) -> Response {
    let mut response = StatusCode::FOUND.into_response();
    set(&mut response, LOCATION, link.expose().to_owned());
    set(&mut response, CACHE_CONTROL, "no-store".to_owned());
    response
}

/// Bytes go after their row does: a video that was deleted, or whose time was over, a moment ago is told as that.
async fn unreadable(api: &Api, job: &Job, error: ReadError) -> Result<ApiError, ApiError> {
    let gone = matches!(error, ReadError::NotFound(_));
    if gone {
        let admission = &job.admission;
        let found = api.engine.find(admission.workspace, admission.id).await?;
        still_kept(&the_job(found)?)?;
    }
    Ok(error.into())
}

/// How a browser is to treat it, and under which name it saves it.
fn disposition(grant: &LinkGrant, object: &Object<'_>) -> String {
    let disposition = match grant.disposition {
        Disposition::Attachment => "attachment",
        Disposition::Inline => "inline",
    };
    let number = match grant.index {
        0 => String::new(),
        index => format!("-{index}"),
    };
    let name = format!("{}{number}.{}", grant.video, object.extension);
    format!("{disposition}; filename=\"{name}\"")
}

pub(super) fn describe(response: &mut Response, grant: &LinkGrant, object: &Object<'_>) {
    set(response, CONTENT_DISPOSITION, disposition(grant, object));
    set(response, CONTENT_TYPE, object.mime_type.to_owned());
    // Shown by a browser itself, a video is a page that fetches its own address; in a sandbox without an origin it
    // may not. Scripts are forbidden either way.
    let sandbox = match grant.disposition {
        Disposition::Attachment => "sandbox",
        Disposition::Inline => "sandbox allow-same-origin",
    };
    for (header, value) in [
        (ACCEPT_RANGES, "bytes"),
        (CACHE_CONTROL, "private, no-cache"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, sandbox),
    ] {
        response
            .headers_mut()
            .insert(header, HeaderValue::from_static(value));
    }
}

fn set(response: &mut Response, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}
