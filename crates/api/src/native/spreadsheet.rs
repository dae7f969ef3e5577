//! Rows as CSV, for spreadsheets: RFC 4180, UTF-8, a header line, money in integer nano-dollars as in the JSON.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};

const KIND: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8");
const NOT_KEPT: HeaderValue = HeaderValue::from_static("no-store");

/// Lines of `rows`.
pub(crate) fn lines<Row: AsRef<[String]>>(rows: &[Row]) -> Bytes {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    for row in rows {
        writer
            .write_record(row.as_ref())
            .expect("every row has as many fields as the first, and memory takes them all");
    }
    writer
        .into_inner()
        .expect("memory takes what is left")
        .into()
}

/// A file that is called `name`, whole or as it comes.
pub(crate) fn file(name: &'static str, body: impl Into<Body>) -> Response {
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""))
        .expect("our names are plain words");
    let headers = [
        (CONTENT_TYPE, KIND),
        (CACHE_CONTROL, NOT_KEPT),
        (CONTENT_DISPOSITION, disposition),
    ];
    (headers, body.into()).into_response()
}
