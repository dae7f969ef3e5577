//! The create: an order as a form, and what its answer says.

use bytes::Bytes;
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::provider::{Body, NativeId, Order, Submitted, Token};
use filmgate_core::request::{InputRole, MediaKind};
use http::{HeaderValue, Method, Request, Response, header};
use serde_json::Value;

use super::complaint::Complaint;
use super::refusal::{complained, may_have_been_taken, refused};
use super::video::Video;
use super::{OpenAiCompatible, passthrough};
use crate::form::Form;
use crate::redaction::Redaction;
use crate::unclear::{left_open, unreadable};

impl OpenAiCompatible {
    /// As the SDK sends it: a form even without a file. What the request does not say is left to the server, save length
    /// and size, which were settled and priced.
    pub(super) fn create(&self, order: &Order, token: &Token) -> Result<Request<Body>, Failure> {
        let request = &order.request;
        let mut form = Form::new(&order.attempt_key);
        form.field("model", &order.native_model);
        form.field("prompt", &request.prompt);
        if let Some(seconds) = order.shape.seconds {
            form.field("seconds", &seconds.to_string());
        }
        if let Some(size) = order.shape.size {
            form.field("size", &size.to_string());
        }
        if let Some(url) = &order.callback_url {
            form.field("callback_url", url);
        }
        if let Some(negative) = &request.negative_prompt {
            form.field("negative_prompt", negative);
        }
        if let Some(seed) = request.seed {
            form.field("seed", &seed.to_string());
        }
        if let Some(sound) = request.generate_audio
            && self.sound_switches.contains(&order.native_model)
        {
            form.field("generate_sound", if sound { "true" } else { "false" });
        }
        if request.sample_count > 1 {
            form.field("num_outputs_per_prompt", &request.sample_count.to_string());
        }
        for (key, value) in &request.provider_params {
            form.field(key, &passthrough::text(value));
        }
        for (index, input) in request.inputs.iter().enumerate() {
            if index > 0 || (input.role, input.kind) != (InputRole::FirstFrame, MediaKind::Image) {
                return Err(Failure::permanent(
                    FailureCode::InvalidRequest,
                    "this provider takes one first_frame image and no other input",
                ));
            }
            let filename = format!("first_frame.{}", extension(&input.mime_type));
            form.file("input_reference", &filename, &input.mime_type, index);
        }
        let content_type = form.content_type();
        let mut message = self.message(Method::POST, "/videos", token, form.into_body())?;
        message.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_str(&content_type).expect("a boundary is plain text"),
        );
        Ok(message)
    }
}

/// Whether the job was taken. A whole answer that refuses is a refusal, even of a server in trouble; an answer that names
/// no job, and one that tells of another answer which was lost, leave it open.
pub(super) fn read(answer: &Response<Bytes>, redaction: &Redaction) -> Result<Submitted, Failure> {
    if !answer.status().is_success() {
        let failure = refused(answer, redaction);
        return Err(if may_have_been_taken(answer) {
            left_open(failure)
        } else {
            failure
        });
    }
    let open = || left_open(unreadable(answer, redaction));
    let Ok(Value::Object(body)) = serde_json::from_slice(answer.body()) else {
        return Err(open());
    };
    if let Some(id) = Video::of(&body).id {
        return Ok(Submitted {
            native: NativeId(id),
        });
    }
    match Complaint::of_body(&body) {
        // An error under a success: what its own code says counts.
        Some(complaint) if !body.contains_key("id") => {
            Err(complained(&complaint, complaint.status(), redaction))
        }
        _ => Err(open()),
    }
}

fn extension(mime_type: &str) -> &'static str {
    match mime_type {
        "image/png" => "png",
        "image/jpeg" => "jpg",
        "image/webp" => "webp",
        _ => "bin",
    }
}
