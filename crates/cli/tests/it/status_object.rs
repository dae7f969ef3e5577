//! The promises every status object keeps, whatever the job has gone through.
//!
//! Every status object any test sees passes through [`whole`]; two of the same job, one after the other, through
//! [`follows`].

use serde_json::Value;

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Url,
    Whole,
    Number,
    Flag,
    List,
    Object,
}

use Kind::{Flag, List, Number, Object, Text, Url, Whole};

/// Fields that are always there: name, kind, whether null is a value.
const FIELDS: [(&str, Kind, bool); 37] = [
    ("id", Text, false),
    ("video_id", Text, false),
    ("object", Text, false),
    ("status", Text, false),
    ("lifecycle_status", Text, false),
    ("model", Text, false),
    ("provider", Text, false),
    ("request_id", Text, false),
    ("session_id", Text, true),
    ("generation_id", Text, false),
    ("native_video_id", Text, true),
    ("created_at", Whole, false),
    ("started_at", Whole, true),
    ("completed_at", Whole, true),
    ("observed_at", Whole, true),
    ("polling_url", Url, false),
    ("poll_after_seconds", Whole, false),
    ("progress", Whole, true),
    ("progress_source", Text, false),
    ("estimated_completion_at", Whole, true),
    ("seconds", Number, true),
    ("size", Text, true),
    ("audio", Flag, true),
    ("output_access", Text, false),
    ("asset", Object, true),
    ("outputs", List, false),
    ("outputs_missing", List, false),
    ("billing", Object, false),
    ("usage", Object, true),
    ("error", Object, true),
    ("attempts", Whole, false),
    ("cancel_url", Url, true),
    ("events_url", Url, false),
    ("websocket_url", Text, false),
    ("metadata", Object, false),
    ("webhook", Object, true),
    ("assets_expire_at", Whole, true),
];

const BILLING: [(&str, Kind, bool); 16] = [
    ("currency", Text, false),
    ("state", Text, false),
    ("billable", Flag, false),
    ("estimated_provider_cost", Text, true),
    ("estimated_user_cost", Text, true),
    ("settled_provider_cost", Text, true),
    ("settled_user_cost", Text, true),
    ("total_nanos", Whole, true),
    ("estimated_nanos", Whole, true),
    ("reserved_nanos", Whole, false),
    ("reservation_id", Text, true),
    ("reservation_status", Text, true),
    ("charge_reason", Text, true),
    ("charged", Flag, false),
    ("provider_may_have_charged", Flag, false),
    ("billed_at", Whole, true),
];

const MEASURED: [(&str, Kind, bool); 6] = [
    ("mime_type", Text, false),
    ("bytes", Whole, false),
    ("sha256", Text, false),
    ("width", Whole, false),
    ("height", Whole, false),
    ("duration_seconds", Number, false),
];

const LIFECYCLE: [(&str, &str); 6] = [
    ("queued", "pending"),
    ("processing", "running"),
    ("completed", "completed"),
    ("failed", "failed"),
    ("cancelled", "cancelled"),
    ("expired", "expired"),
];

/// Checks a status object and gives it back.
#[track_caller]
pub(crate) fn whole(video: Value) -> Value {
    let faults = faults(&video);
    assert!(faults.is_empty(), "{faults:#?}\n{video:#}");
    video
}

/// Checks what may not happen between two status objects of one job.
#[track_caller]
pub(crate) fn follows(before: &Value, after: &Value) {
    let mut faults = Vec::new();
    let kept = [
        "id",
        "model",
        "request_id",
        "session_id",
        "generation_id",
        "created_at",
        "polling_url",
        "metadata",
    ];
    for field in kept {
        demand(
            &mut faults,
            before[field] == after[field],
            &format!("{field} changed"),
        );
    }
    let order = ["queued", "processing"];
    let rank = |video: &Value| {
        order
            .iter()
            .position(|status| video["status"] == *status)
            .unwrap_or(order.len())
    };
    // Back to queued is the one way back: another candidate takes the job.
    demand(
        &mut faults,
        rank(before) < order.len() || before["status"] == after["status"],
        "a terminal status changed",
    );
    demand(
        &mut faults,
        before["progress"].as_u64() <= after["progress"].as_u64(),
        "progress went down",
    );
    for field in ["started_at", "completed_at", "assets_expire_at"] {
        demand(
            &mut faults,
            before[field].is_null() || before[field] == after[field],
            &format!("{field} moved"),
        );
    }
    demand(
        &mut faults,
        before["attempts"].as_u64() <= after["attempts"].as_u64(),
        "attempts went down",
    );
    assert!(
        faults.is_empty(),
        "{faults:#?}\nfrom {before:#}\nto {after:#}"
    );
}

fn faults(video: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    typed(&mut faults, "", video, &FIELDS);
    typed(&mut faults, "billing.", &video["billing"], &BILLING);
    if !faults.is_empty() {
        return faults;
    }
    let status = video["status"].as_str().unwrap_or_default();
    let terminal = ["completed", "failed", "cancelled", "expired"].contains(&status);
    let completed = status == "completed";
    let mut must = |holds: bool, what: &str| demand(&mut faults, holds, what);

    must(video["object"] == "video", "object is video");
    must(video["id"] == video["video_id"], "video_id is id");
    must(is_id(&video["id"], "video_"), "id is an id");
    must(
        is_id(&video["generation_id"], "gen_"),
        "generation_id is an id",
    );
    let lifecycle = LIFECYCLE
        .iter()
        .find(|(word, _)| *word == status)
        .map(|(_, word)| *word);
    must(
        lifecycle.is_some_and(|word| video["lifecycle_status"] == word),
        "status is one of six, and lifecycle_status its twin",
    );
    let polling_url = video["polling_url"].as_str().unwrap_or_default();
    must(
        polling_url.ends_with(&format!(
            "/v1/videos/{}",
            video["id"].as_str().unwrap_or_default()
        )),
        "polling_url leads here",
    );
    must(
        video["events_url"] == format!("{polling_url}/events"),
        "events_url leads to the events",
    );
    let socket = polling_url.replacen("http", "ws", 1);
    let socket = socket.replacen("/v1/videos/", "/v1/async/video/", 1);
    must(
        video["websocket_url"] == format!("{socket}/ws"),
        "websocket_url leads to the socket",
    );

    must(
        video["completed_at"].is_null() != terminal,
        "completed_at is set exactly when terminal",
    );
    must(
        video["cancel_url"].is_null() == terminal,
        "cancel_url is null exactly when terminal",
    );
    must(
        video["usage"].is_null() != terminal,
        "usage is set exactly when terminal",
    );
    let poll_after = video["poll_after_seconds"].as_u64().unwrap_or(99);
    must(
        poll_after <= 60 && (!terminal || poll_after == 0),
        "poll_after_seconds is 0 to 60, and 0 when terminal",
    );
    must(
        !(status == "processing" || completed) || !video["started_at"].is_null(),
        "what was taken on has started_at",
    );
    must(
        status != "queued" || video["started_at"].is_null(),
        "with one candidate, queued is before started_at",
    );
    let instants: Vec<i64> = ["created_at", "started_at", "completed_at"]
        .iter()
        .filter_map(|at| video[at].as_i64())
        .collect();
    must(instants.is_sorted(), "instants are in order");

    let progress = video["progress"].as_u64();
    must(
        progress.is_none_or(|percent| percent <= 100),
        "progress is at most 100",
    );
    must(
        (progress == Some(100)) == completed,
        "progress is 100 exactly when completed",
    );
    must(
        ["provider", "estimated", "none"]
            .iter()
            .any(|source| video["progress_source"] == *source),
        "progress_source is one of three",
    );
    must(
        !terminal || video["estimated_completion_at"].is_null(),
        "nothing is estimated of what has ended",
    );

    access(&mut faults, video, completed);
    outputs(&mut faults, video, completed);
    failure(&mut faults, video, ["failed", "expired"].contains(&status));
    money(&mut faults, video, terminal);
    faults
}

/// Whether the bytes of the outputs, where there are any, are still there.
fn are_kept(video: &Value) -> bool {
    let mut outputs = video["outputs"].as_array().into_iter().flatten();
    !outputs.any(|output| output["bytes_available"] == false)
}

/// The links follow from `output_access`, and lead to bytes that are there.
fn access(faults: &mut Vec<String>, video: &Value, completed: bool) {
    let (bytes, signed) = match video["output_access"].as_str() {
        Some("bytes") => (true, false),
        Some("signed_url") => (false, true),
        Some("both") => (true, true),
        _ => return faults.push("output_access is one of three".to_owned()),
    };
    let kept = are_kept(video);
    demand(
        faults,
        video.get("content_url").is_some() == (bytes && kept),
        "content_url is there exactly for bytes and both, until the bytes are removed",
    );
    demand(
        faults,
        !(bytes && kept) || is(&video["content_url"], Url),
        "content_url is a URL",
    );
    for field in ["download_url", "expires_at"] {
        demand(
            faults,
            video.get(field).is_some() == signed,
            &format!("{field} is there exactly for signed_url and both"),
        );
        demand(
            faults,
            !signed || video[field].is_null() != (completed && kept),
            &format!("{field} is null until completed and once the bytes are removed"),
        );
    }
    if let Some(expires_at) = video["expires_at"].as_i64() {
        demand(
            faults,
            expires_at % 450 == 0,
            "expires_at is the end of a link bucket",
        );
        let url = video["download_url"].as_str().unwrap_or_default();
        let parts = [
            "/content?",
            "download_token=",
            "download_sig=",
            &format!("expires_at={expires_at}"),
        ];
        demand(
            faults,
            parts.iter().all(|part| url.contains(part)),
            "download_url is signed until expires_at",
        );
    }
    for output in video["outputs"].as_array().into_iter().flatten() {
        demand(
            faults,
            output.get("content_url").is_some() == (bytes && kept),
            "an output's content_url follows the access",
        );
        demand(
            faults,
            output.get("download_url").is_some() == (signed && kept),
            "an output's download_url follows the access",
        );
        demand(
            faults,
            output.get("expires_at") == video.get("expires_at").filter(|_| kept),
            "an output's expires_at is the job's",
        );
        let thumbnail = output["thumbnail_url"].as_str();
        let as_promised = |url: &str| url.contains("download_sig=") == signed;
        demand(
            faults,
            kept || thumbnail.is_none(),
            "no link leads to bytes that are removed",
        );
        demand(
            faults,
            thumbnail.is_none_or(as_promised),
            "thumbnail_url is signed unless access is bytes",
        );
    }
}

/// Outputs are there once completed, and `asset` is the first of them.
fn outputs(faults: &mut Vec<String>, video: &Value, completed: bool) {
    let outputs = video["outputs"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    demand(
        faults,
        video["asset"].is_null() != completed,
        "asset is null until completed",
    );
    demand(
        faults,
        outputs.is_empty() != completed,
        "outputs are empty until completed",
    );
    for output in outputs {
        typed(faults, "outputs[].", output, &MEASURED);
        demand(
            faults,
            output["bytes_available"] == are_kept(video),
            "all bytes are there, or none",
        );
        demand(
            faults,
            output.get("thumbnail_url").is_some(),
            "thumbnail_url is there, if only as null",
        );
        let digest = output["sha256"].as_str().unwrap_or_default();
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        demand(
            faults,
            digest.len() == 64 && digest.bytes().all(hexadecimal),
            "sha256 is lower-case hexadecimal",
        );
    }
    let indexes: Vec<u64> = outputs
        .iter()
        .filter_map(|output| output["index"].as_u64())
        .collect();
    demand(
        faults,
        indexes.len() == outputs.len() && indexes.is_sorted(),
        "outputs are in order of their index",
    );
    for missing in video["outputs_missing"].as_array().into_iter().flatten() {
        typed(
            faults,
            "outputs_missing[].",
            missing,
            &[("code", Text, false), ("message", Text, false)],
        );
    }
    let expire_at = video["assets_expire_at"].as_i64();
    demand(
        faults,
        expire_at.is_none() || (completed && expire_at >= video["completed_at"].as_i64()),
        "what is completed is kept for a while",
    );
    demand(
        faults,
        are_kept(video) || expire_at.is_some(),
        "what is removed had an end",
    );
    let Some(first) = outputs.first() else { return };
    typed(faults, "asset.", &video["asset"], &MEASURED);
    demand(
        faults,
        is_id(&video["asset"]["id"], "ast_"),
        "asset.id is an id",
    );
    for (field, ..) in MEASURED {
        demand(
            faults,
            video["asset"][field] == first[field],
            &format!("asset.{field} is that of output 0"),
        );
    }
    let size = format!("{}x{}", first["width"], first["height"]);
    demand(faults, video["size"] == size, "size is as measured");
    demand(
        faults,
        video["seconds"] == first["duration_seconds"],
        "seconds is as measured",
    );
}

fn failure(faults: &mut Vec<String>, video: &Value, failed: bool) {
    demand(
        faults,
        video["error"].is_null() != failed,
        "error is set exactly when failed or expired",
    );
    if !failed {
        return;
    }
    let error = &video["error"];
    typed(
        faults,
        "error.",
        error,
        &[
            ("code", Text, false),
            ("message", Text, false),
            ("type", Text, false),
            ("retryable", Flag, false),
            ("attempts", List, false),
        ],
    );
    for (field, kind) in [
        ("provider", Text),
        ("provider_code", Text),
        ("provider_status", Whole),
        ("provider_message", Text),
        ("hint", Text),
    ] {
        demand(
            faults,
            error.get(field).is_none_or(|value| is(value, kind)),
            &format!("error.{field}"),
        );
    }
}

fn money(faults: &mut Vec<String>, video: &Value, terminal: bool) {
    let billing = &video["billing"];
    let (state, hold) = (
        billing["state"].as_str(),
        billing["reservation_status"].as_str(),
    );
    let reserved = billing["reserved_nanos"].as_i64().unwrap_or(-1);
    let over = ["settled", "void"].iter().any(|word| state == Some(word));
    demand(faults, billing["currency"] == "usd", "the currency is usd");
    demand(
        faults,
        ["pending", "estimated", "settled", "void"]
            .iter()
            .any(|word| state == Some(word)),
        "state is one of four",
    );
    demand(
        faults,
        terminal || !over,
        "money is settled at the end, not before",
    );
    demand(
        faults,
        (hold == Some("held")) == (reserved > 0),
        "money is reserved exactly while it is held",
    );
    demand(faults, reserved >= 0, "less than nothing is never held");
    demand(
        faults,
        hold.is_none() == billing["reservation_id"].is_null(),
        "a hold has an id",
    );
    demand(
        faults,
        (state == Some("settled")) == (hold == Some("captured")),
        "settled is captured",
    );
    demand(
        faults,
        !over || hold != Some("held"),
        "nothing is held once it is over",
    );
    for field in [
        "total_nanos",
        "settled_user_cost",
        "billed_at",
        "charge_reason",
    ] {
        let unpriced = billing["charge_reason"] == "unpriced";
        demand(
            faults,
            billing[field].is_null() != over || unpriced,
            &format!("billing.{field} is null until settled or void"),
        );
    }
    let total = billing["total_nanos"].as_i64();
    demand(
        faults,
        billing["charged"] == (hold == Some("captured") && total > Some(0)),
        "charged: more than zero was captured",
    );
    for (text, nanos) in [
        ("settled_user_cost", "total_nanos"),
        ("estimated_user_cost", "estimated_nanos"),
    ] {
        let same = billing[text].as_str().map(nanos_of) == billing[nanos].as_i64().map(Some);
        demand(
            faults,
            same,
            &format!("billing.{text} is billing.{nanos} in dollars"),
        );
    }
    if !terminal {
        return;
    }
    let usage = &video["usage"];
    let own = usage["is_byok"] == true;
    demand(
        faults,
        usage["is_byok"].is_boolean() && (own || billing["charge_reason"] != "byok"),
        "usage.is_byok",
    );
    let cost = usage["cost"]
        .as_f64()
        .map(|dollars| (dollars * 1e9).round() as i64);
    demand(faults, cost == total, "usage.cost is what was charged");
}

/// Decimal dollars as nano-dollars, if they are written as promised: 2 to 9 decimals, zeros behind the second trimmed.
fn nanos_of(text: &str) -> Option<i64> {
    let (whole, decimals) = text.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let trimmed = decimals.len() == 2 || !decimals.ends_with('0');
    if !digits(whole) || !digits(decimals) || !(2..=9).contains(&decimals.len()) || !trimmed {
        return None;
    }
    format!("{whole}{decimals:0<9}").parse().ok()
}

fn typed(faults: &mut Vec<String>, at: &str, object: &Value, fields: &[(&str, Kind, bool)]) {
    for (name, kind, nullable) in fields {
        match object.get(name) {
            None => faults.push(format!("{at}{name} is absent")),
            Some(Value::Null) if *nullable => {}
            Some(value) => demand(
                faults,
                is(value, *kind),
                &format!("{at}{name} is {value}, which is no {kind:?}"),
            ),
        }
    }
}

fn is(value: &Value, kind: Kind) -> bool {
    match kind {
        Text => value.as_str().is_some_and(|text| !text.is_empty()),
        Url => value
            .as_str()
            .is_some_and(|url| url.starts_with("http://127.0.0.1:") || url.starts_with("https://")),
        Whole => value.is_i64() || value.is_u64(),
        Number => value.is_number(),
        Flag => value.is_boolean(),
        List => value.is_array(),
        Object => value.is_object(),
    }
}

fn is_id(value: &Value, prefix: &str) -> bool {
    let suffix = value
        .as_str()
        .and_then(|id| id.strip_prefix(prefix))
        .unwrap_or_default();
    suffix.len() == 26
        && suffix
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn demand(faults: &mut Vec<String>, holds: bool, what: &str) {
    if !holds {
        faults.push(format!("does not hold: {what}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Gate;
    use crate::order::Order;
    use serde_json::json;

    #[tokio::test]
    async fn a_field_that_is_missing_or_of_another_kind_is_noticed() {
        let gate = Gate::start().await;
        let video = gate.completed(&Order::of("taken apart")).await;
        let parts = [
            ("", &FIELDS[..]),
            ("billing", &BILLING),
            ("asset", &MEASURED),
        ];
        for (part, fields) in parts {
            for (field, ..) in fields {
                let changed = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
                    let mut video = video.clone();
                    let object = if part.is_empty() {
                        &mut video
                    } else {
                        &mut video[part]
                    };
                    change(object.as_object_mut().unwrap());
                    faults(&video)
                };
                let missing = changed(&|object| drop(object.remove(*field)));
                assert!(!missing.is_empty(), "{part} {field} may be missing");
                let mistyped = changed(&|object| object[*field] = json!([[]]));
                let is_list = FIELDS.contains(&(*field, List, false));
                assert!(
                    !mistyped.is_empty() || is_list,
                    "{part} {field} may be anything"
                );
            }
        }
    }

    #[tokio::test]
    async fn what_contradicts_itself_is_noticed() {
        let gate = Gate::start().await;
        let video = gate.completed(&Order::of("contradicted")).await;
        let lies = [
            ("/video_id", json!("video_00000000000000000000000000")),
            ("/status", json!("failed")),
            ("/status", json!("succeeded")),
            ("/lifecycle_status", json!("running")),
            ("/completed_at", json!(1)),
            ("/progress", json!(99)),
            ("/poll_after_seconds", json!(20)),
            ("/cancel_url", video["polling_url"].clone()),
            ("/output_access", json!("bytes")),
            ("/seconds", json!(2.0)),
            ("/size", json!("180x320")),
            ("/outputs", json!([])),
            ("/outputs/0/sha256", json!("0".repeat(64))),
            ("/outputs/0/expires_at", json!(450)),
            ("/outputs/0/bytes_available", json!(false)),
            ("/outputs/0/bytes_available", json!("true")),
            ("/assets_expire_at", json!(1)),
            ("/error", json!({})),
            ("/usage/cost", json!(0.02)),
            ("/billing/state", json!("void")),
            ("/billing/total_nanos", json!(1)),
            ("/billing/reserved_nanos", json!(1)),
            ("/billing/reservation_status", json!("held")),
            ("/billing/settled_user_cost", json!("0.010")),
            ("/billing/charged", json!(false)),
        ];
        for (place, lie) in lies {
            let mut told = video.clone();
            *told.pointer_mut(place).unwrap() = lie.clone();
            assert!(!faults(&told).is_empty(), "{place} may be {lie}");
        }
    }

    #[test]
    fn dollars_are_read_digit_by_digit() {
        assert_eq!(nanos_of("0.04"), Some(40_000_000));
        assert_eq!(nanos_of("12.000000001"), Some(12_000_000_001));
        for wrong in ["0.040", "1", "1.", ".5", "1.0000000001", "1.1", "-1.00"] {
            assert_eq!(nanos_of(wrong), None, "{wrong}");
        }
    }
}
