//! What a refusal or a failed job means, in core's words.

use bytes::Bytes;
use filmgate_core::failure::{Failure, FailureCode};
use http::Response;

use super::complaint::Complaint;
use crate::redaction::Redaction;
use crate::retry_after;
use crate::unclear::beginning;

/// Words of a complaint, as they are compared: lower-case letters and digits alone.
const MODERATION: [&str; 3] = ["contentpolicy", "moderation", "safety"];
const QUOTA: [&str; 3] = ["insufficientquota", "billing", "quotaexceeded"];
const NO_MODEL: [&str; 2] = ["modelnotfound", "modelmismatch"];
/// How LiteLLM says, under whatever status, that it was itself left without an answer.
const LEFT_WITHOUT: [&str; 4] = ["timeout", "timedout", "apiconnectionerror", "disconnected"];

/// The failure that an answer of any status but a success is.
pub(super) fn refused(answer: &Response<Bytes>, redaction: &Redaction) -> Failure {
    let status = answer.status().as_u16();
    let complaint = Complaint::of_answer(answer.body());
    let Some(complaint) = complaint else {
        let failure = match status {
            300..400 => Failure::of(
                FailureCode::ProviderError,
                "the provider answered with a redirect, which is not followed; its base_url is not the address itself",
            ),
            _ => Failure::of(
                of_status(status),
                format!("the provider answered with status {status}"),
            ),
        };
        let failure = failure.retry_after(retry_after::read(answer.headers()));
        return failure.from_provider(Some(status), None, beginning(answer, redaction));
    };
    complained(&complaint, Some(status), redaction).retry_after(retry_after::read(answer.headers()))
}

/// The failure that a complaint is: of an answer with `status`, or of a job without.
pub(super) fn complained(
    complaint: &Complaint,
    status: Option<u16>,
    redaction: &Redaction,
) -> Failure {
    let code = code_of(complaint, status);
    let words = complaint
        .message
        .as_deref()
        .map(|text| redaction.apply(text));
    let message = match (&words, status) {
        (Some(words), _) if code == FailureCode::InvalidRequest => {
            format!("the provider refused the request: {words}")
        }
        (_, Some(status)) => format!("the provider answered with status {status}"),
        (_, None) => format!("the provider failed the job: {}", code.as_str()),
    };
    Failure::of(code, message).from_provider(
        status,
        complaint.code.clone().or_else(|| complaint.kind.clone()),
        words,
    )
}

/// Whether a refused create may have been taken all the same: whoever answered had waited for somebody else, and that
/// answer was lost on the way to them.
pub(super) fn may_have_been_taken(answer: &Response<Bytes>) -> bool {
    let status = answer.status().as_u16();
    match status {
        // A proxy's words for a server that did not answer it, or broke off; 520 to 524 are Cloudflare's.
        408 | 502 | 504 | 520..=524 => true,
        500..600 => Complaint::of_answer(answer.body()).is_some_and(|complaint| {
            let words = [&complaint.code, &complaint.kind, &complaint.message];
            words
                .into_iter()
                .flatten()
                .any(|text| names(text, &LEFT_WITHOUT))
        }),
        _ => false,
    }
}

fn code_of(complaint: &Complaint, status: Option<u16>) -> FailureCode {
    let words = [&complaint.code, &complaint.kind, &complaint.message];
    let says = |words_of: &[&str]| {
        let mut words = words.into_iter().flatten();
        words.any(|text| names(text, words_of))
    };
    let status = status.or_else(|| complaint.status());
    let bad_credential = matches!(status, Some(401 | 407));
    let broken = status.is_some_and(|status| status >= 500);
    if says(&MODERATION) && !bad_credential && !broken {
        FailureCode::ContentModerated
    } else if says(&NO_MODEL) && !broken {
        FailureCode::ModelUnavailable
    } else if says(&QUOTA) && matches!(status, None | Some(400 | 402 | 403 | 429)) {
        FailureCode::ProviderQuota
    } else {
        status.map_or(FailureCode::ProviderError, of_status)
    }
}

fn of_status(status: u16) -> FailureCode {
    match status {
        401 | 407 => FailureCode::ProviderAuth,
        402 => FailureCode::ProviderQuota,
        403 => FailureCode::ProviderPermission,
        404 | 410 => FailureCode::ModelUnavailable,
        408 | 504 | 524 => FailureCode::ProviderTimeout,
        429 => FailureCode::RateLimited,
        400 | 411 | 413..=415 | 422 | 431 => FailureCode::InvalidRequest,
        _ => FailureCode::ProviderError,
    }
}

fn names(text: &str, words: &[&str]) -> bool {
    let plain: String = text
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    words.iter().any(|word| plain.contains(word))
}
