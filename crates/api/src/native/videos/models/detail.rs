//! What each request field may hold, told from a pair's capabilities.

use std::collections::BTreeMap;

use filmgate_catalogue::{AudioMode, Capabilities, Lengths};
use filmgate_core::request::MediaKind;
use serde_json::{Value, json as value};

/// What each field may hold at one provider.
pub(super) fn detail(capabilities: &Capabilities) -> BTreeMap<&'static str, Value> {
    let duration = &capabilities.duration;
    let mut lengths = value!({"type": "integer", "unit": "seconds", "min": duration.min(), "max": duration.max(), "default": duration.default});
    if let Lengths::Listed(listed) = &duration.offered {
        lengths["values"] = value!(listed);
    }
    let mut detail = BTreeMap::from([
        (
            "prompt",
            value!({"type": "string", "max_length": capabilities.prompt_max_chars.unwrap_or(32_000)}),
        ),
        (
            "sample_count",
            value!({"type": "integer", "min": 1, "max": capabilities.max_samples, "default": 1}),
        ),
    ]);
    if duration.offered != Lengths::Unknown {
        detail.insert("duration", lengths);
    }
    let default = capabilities.sizes.first();
    let sizes = capabilities.sizes.iter().filter_map(|offered| offered.size);
    let sizes: Vec<String> = sizes.map(|size| size.to_string()).collect();
    for (name, values, default) in [
        (
            "size",
            sizes,
            default
                .and_then(|offered| offered.size)
                .map(|size| size.to_string()),
        ),
        (
            "resolution",
            capabilities.resolutions(),
            default.and_then(|offered| offered.resolution.clone()),
        ),
        (
            "aspect_ratio",
            capabilities.aspect_ratios(),
            default.and_then(|offered| offered.aspect_ratio.clone()),
        ),
        (
            "quality",
            capabilities.quality.clone(),
            capabilities.quality.first().cloned(),
        ),
        (
            "person_generation",
            capabilities.person_generation.clone(),
            None,
        ),
        ("resize_mode", capabilities.resize_mode.clone(), None),
    ] {
        if !values.is_empty() {
            let words = value!({"type": "string", "values": values, "default": default});
            detail.insert(name, words);
        }
    }
    if capabilities.enhance_prompt {
        detail.insert("enhance_prompt", value!({"type": "boolean"}));
    }
    if capabilities.compression_quality {
        let number = value!({"type": "integer", "min": 0, "max": 100});
        detail.insert("compression_quality", number);
    }
    for (name, kind) in [
        ("input_video_duration", MediaKind::Video),
        ("input_audio_duration", MediaKind::Audio),
    ] {
        if capabilities.takes(kind) {
            detail.insert(name, value!({"type": "integer", "unit": "seconds"}));
        }
    }
    let audio = match capabilities.audio {
        AudioMode::Always => Some((vec![true], true)),
        AudioMode::Toggle => Some((vec![false, true], capabilities.audio_by_default)),
        AudioMode::Never => None,
    };
    if let Some((values, default)) = audio {
        let audio = value!({"type": "boolean", "values": values, "default": default});
        detail.insert("generate_audio", audio);
    }
    if let Some(seed) = capabilities.seed {
        let seed = value!({"type": "integer", "min": seed.min, "max": seed.max});
        detail.insert("seed", seed);
    }
    if capabilities.negative_prompt {
        let most = capabilities.negative_prompt_max_chars.unwrap_or(32_000);
        let text = value!({"type": "string", "max_length": most});
        detail.insert("negative_prompt", text);
    }
    if !capabilities.inputs.is_empty() {
        let slots: Vec<Value> = capabilities
            .inputs
            .iter()
            .map(|slot| {
                let mut stated = value!({"type": slot.kind.as_str(), "role": slot.role.as_str(), "max": slot.max});
                if slot.min > 0 {
                    stated["min"] = value!(slot.min);
                }
                if !slot.modes.is_empty() {
                    stated["modes"] = value!(slot.modes);
                }
                stated
            })
            .collect();
        detail.insert(
            "input_references",
            value!({"type": "array", "slots": slots}),
        );
    }
    if !capabilities.passthrough.is_empty() {
        let keys = &capabilities.passthrough;
        detail.insert("provider_params", value!({"type": "object", "keys": keys}));
    }
    detail
}
