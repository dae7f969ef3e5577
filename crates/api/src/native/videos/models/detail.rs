//! What each request field may hold, told from a pair's capabilities.

use std::collections::BTreeMap;

use filmgate_catalogue::{AudioMode, Capabilities, Lengths};
use serde_json::{Value, json as value};

/// What each field may hold at one provider.
pub(super) fn detail(capabilities: &Capabilities) -> BTreeMap<&'static str, Value> {
    let duration = &capabilities.duration;
    let mut lengths = value!({"type": "integer", "unit": "seconds", "min": duration.min(), "max": duration.max(), "default": duration.default});
    if let Lengths::Listed(listed) = &duration.offered {
        lengths["values"] = value!(listed);
    }
    let sizes: Vec<String> = capabilities
        .sizes
        .iter()
        .map(|offered| offered.size.to_string())
        .collect();
    let default = capabilities.offered(capabilities.default_size);
    let mut detail = BTreeMap::from([
        ("prompt", value!({"type": "string", "max_length": 32_000})),
        ("duration", lengths),
        (
            "size",
            value!({"type": "string", "values": sizes, "default": capabilities.default_size.to_string()}),
        ),
        (
            "resolution",
            value!({
                "type": "string",
                "values": unique(capabilities.sizes.iter().map(|offered| offered.resolution.as_str())),
                "default": default.map(|offered| &offered.resolution),
            }),
        ),
        (
            "aspect_ratio",
            value!({
                "type": "string",
                "values": unique(capabilities.sizes.iter().map(|offered| offered.aspect_ratio.as_str())),
                "default": default.map(|offered| &offered.aspect_ratio),
            }),
        ),
        (
            "sample_count",
            value!({"type": "integer", "min": 1, "max": capabilities.max_samples, "default": 1}),
        ),
    ]);
    let audio = match capabilities.audio {
        AudioMode::Always => Some((vec![true], true)),
        AudioMode::Toggle => Some((vec![false, true], false)),
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
        let text = value!({"type": "string", "max_length": 32_000});
        detail.insert("negative_prompt", text);
    }
    if !capabilities.inputs.is_empty() {
        let slots: Vec<Value> = capabilities
            .inputs
            .iter()
            .map(|slot| value!({"type": slot.kind.as_str(), "role": slot.role.as_str(), "max": slot.max}))
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

fn unique<'a>(words: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all = Vec::new();
    for word in words {
        if !all.contains(&word) {
            all.push(word);
        }
    }
    all
}
