//! An order as one of the bodies that make a task.

use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::provider::{Body, Order};
use filmgate_core::request::{Input, InputRole, MediaKind, Refusal, Request};
use serde_json::{Map, Value, json};

use crate::inlined::Inlined;

/// A picture as a `data:` address may have 5 MB, which base64 makes a third larger than the file.
const MOST_PICTURE_BYTES: u64 = 3_750_000;
/// What is taken of `provider_params`, by the API's own names.
const PASSED_ON: [&str; 1] = ["contentModeration"];

/// Refuses what only this API's rules can tell.
pub(super) fn check(request: &Request) -> Result<(), Refusal> {
    if request.prompt.trim().is_empty() {
        return Err(Refusal {
            field: "prompt".to_owned(),
            sent: "nothing".to_owned(),
            allowed: "a text; this provider needs one beside an image too".to_owned(),
        });
    }
    for (at, input) in request.inputs.iter().enumerate() {
        let field = format!("input_references[{at}]");
        if !matches!(
            input.mime_type.as_str(),
            "image/png" | "image/jpeg" | "image/webp"
        ) {
            return Err(Refusal {
                field,
                sent: input.mime_type.clone(),
                allowed: "image/png, image/jpeg, image/webp".to_owned(),
            });
        }
        if input.bytes > MOST_PICTURE_BYTES {
            return Err(Refusal {
                field,
                sent: format!("{} bytes", input.bytes),
                allowed: format!("pictures of up to {MOST_PICTURE_BYTES} bytes"),
            });
        }
    }
    let moderation = request.provider_params.get("contentModeration");
    if let Some(sent) = moderation.filter(|sent| !is_moderation(sent)) {
        return Err(Refusal {
            field: "provider_params.contentModeration".to_owned(),
            sent: sent.to_string(),
            allowed: r#"{"publicFigureThreshold": "auto"} or {"publicFigureThreshold": "low"}"#
                .to_owned(),
        });
    }
    Ok(())
}

fn is_moderation(sent: &Value) -> bool {
    sent.as_object().is_some_and(|sent| {
        sent.len() == 1
            && matches!(
                sent.get("publicFigureThreshold").and_then(Value::as_str),
                Some("auto" | "low")
            )
    })
}

/// Where the task is made, and of what.
pub(super) fn task(order: &Order) -> Result<(&'static str, Body), Failure> {
    let request = &order.request;
    let mut inlined = Inlined::of(order);
    let mut task = Map::new();
    let mut put = |name: &str, value: Value| task.insert(name.to_owned(), value);
    put("model", order.native_model.as_str().into());
    put("promptText", request.prompt.as_str().into());
    if let Some(seconds) = order.shape.seconds {
        put("duration", seconds.into());
    }
    if let Some(size) = order.shape.size {
        // Called a ratio, and meant in pixels.
        put("ratio", format!("{}:{}", size.width, size.height).into());
    }
    if let Some(seed) = request.seed {
        put("seed", seed.into());
    }
    // Models without the switch refuse the field.
    if let (true, Some(audio)) = (has_sound_switch(&order.native_model), order.shape.audio) {
        put("audio", audio.into());
    }
    if let Some(negative) = &request.negative_prompt {
        put("negativePrompt", negative.as_str().into());
    }
    for name in PASSED_ON {
        if let Some(value) = request.provider_params.get(name) {
            put(name, value.clone());
        }
    }
    let mut frame = |role, position: &str| -> Result<Option<Value>, Failure> {
        Ok(the_only(&request.inputs, role)?
            .map(|at| json!({"uri": inlined.data_url(at), "position": position})))
    };
    let frames = [
        frame(InputRole::FirstFrame, "first")?,
        frame(InputRole::LastFrame, "last")?,
    ];
    let frames: Vec<Value> = frames.into_iter().flatten().collect();
    if frames.len() < request.inputs.len() {
        return Err(Failure::permanent(
            FailureCode::InvalidRequest,
            "this provider takes a first_frame and a last_frame image and no other input",
        ));
    }
    let path = if frames.is_empty() {
        "/v1/text_to_video"
    } else {
        put("promptImage", frames.into());
        "/v1/image_to_video"
    };
    Ok((path, inlined.into_body(&Value::Object(task))))
}

/// The place of the one picture in `role`.
fn the_only(inputs: &[Input], role: InputRole) -> Result<Option<usize>, Failure> {
    let mut found = inputs
        .iter()
        .enumerate()
        .filter(|(_, input)| input.role == role && input.kind == MediaKind::Image);
    let first = found.next().map(|(at, _)| at);
    match found.next() {
        None => Ok(first),
        Some(_) => Err(Failure::permanent(
            FailureCode::InvalidRequest,
            format!("this provider takes one {}", role.as_str()),
        )),
    }
}

/// Models of other makers that make sound when they are told to. Runway's own are silent and know no such field.
fn has_sound_switch(native_model: &str) -> bool {
    !(native_model.starts_with("gen") || native_model.starts_with("aleph"))
}
