//! What a provider can do with a model, and whether a request asks for just that.

use filmgate_core::facts::{Condition, Facts, Mode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::request::{InputRole, MediaKind, Refusal, Request, Shape};
use serde::{Deserialize, Serialize};

use crate::durations::Durations;

#[derive(Debug, Clone)]
pub struct Capabilities {
    pub duration: Durations,
    pub sizes: Vec<OfferedSize>,
    pub default_size: FrameSize,
    pub audio: AudioMode,
    /// What is made of a toggle when nothing is said.
    pub audio_by_default: bool,
    /// `None`: there is no seed.
    pub seed: Option<SeedRange>,
    pub negative_prompt: bool,
    pub max_samples: u32,
    pub inputs: Vec<InputSlot>,
    /// The keys of `provider_params` it takes.
    pub passthrough: Vec<String>,
    /// UTF-16 units; `None`: nobody has said.
    pub prompt_max_chars: Option<u32>,
    /// Empty: whatever its inputs make of it.
    pub modes: Vec<Mode>,
    /// Frames a second, where they are always as many.
    pub fps: Option<u32>,
    pub constraints: Vec<Constraint>,
}

/// What goes together: where all of `when` holds, all of `require` has to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    pub when: Vec<Condition>,
    pub require: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedSize {
    pub size: FrameSize,
    /// Canonical name, such as `720p`.
    pub resolution: String,
    pub aspect_ratio: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioMode {
    Always,
    Never,
    /// As the request says.
    Toggle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRange {
    pub min: i64,
    pub max: i64,
}

/// A kind of input in a role, and how many of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSlot {
    pub kind: MediaKind,
    pub role: InputRole,
    pub max: u32,
}

impl Capabilities {
    pub fn offered(&self, size: FrameSize) -> Option<&OfferedSize> {
        self.sizes.iter().find(|offered| offered.size == size)
    }

    /// What the outputs of `request` will be like, or everything that stands against it.
    pub fn resolve(&self, request: &Request) -> Result<Shape, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let seconds = self.seconds(request).unwrap_or_else(|refusal| {
            refusals.push(refusal);
            self.duration.default
        });
        let size = self.size(request).unwrap_or_else(|refusal| {
            refusals.push(refusal);
            self.default_size
        });
        let audio = self.audio(request).unwrap_or_else(|refusal| {
            refusals.push(refusal);
            false
        });
        self.check_seed(request, &mut refusals);
        self.check_samples(request, &mut refusals);
        self.check_inputs(request, &mut refusals);
        self.check_absent(request, &mut refusals);
        self.check_passthrough(request, &mut refusals);
        self.check_prompt(request, &mut refusals);
        let shape = Shape {
            seconds: Some(seconds),
            size: Some(size),
            audio: Some(audio),
        };
        if refusals.is_empty() {
            refusals = self.violations(&self.facts(request, &shape));
        }
        if refusals.is_empty() {
            Ok(shape)
        } else {
            Err(refusals)
        }
    }

    /// What is known of an order of `shape`.
    pub fn facts(&self, request: &Request, shape: &Shape) -> Facts {
        let offered = shape.size.and_then(|size| self.offered(size));
        Facts {
            resolution: offered.map(|offered| offered.resolution.clone()),
            aspect_ratio: offered.map(|offered| offered.aspect_ratio.clone()),
            fps: self.fps,
            ..Facts::of(request, Mode::of(request, &self.modes), shape)
        }
    }

    /// What the constraints have against an order of which each part is offered.
    fn violations(&self, facts: &Facts) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for constraint in &self.constraints {
            if !constraint
                .when
                .iter()
                .all(|condition| facts.meet(condition))
            {
                continue;
            }
            for required in constraint
                .require
                .iter()
                .filter(|required| !facts.meet(required))
            {
                let sent = facts.value(required.fact);
                let sent = sent.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
                let mut allowed = list(&required.among);
                if !constraint.when.is_empty() {
                    let because = constraint.when.iter().map(|condition| {
                        format!("{} {}", condition.fact.as_str(), list(&condition.among))
                    });
                    allowed = format!("{allowed} beside {}", list(because));
                }
                refusals.push(refusal(required.fact.as_str(), sent, allowed));
            }
        }
        refusals
    }

    fn check_prompt(&self, request: &Request, refusals: &mut Vec<Refusal>) {
        let Some(most) = self.prompt_max_chars else {
            return;
        };
        let units = request.prompt.encode_utf16().count();
        if units > most as usize {
            let sent = format!("a text of {units} UTF-16 units");
            refusals.push(refusal("prompt", sent, format!("up to {most}")));
        }
    }

    fn seconds(&self, request: &Request) -> Result<u32, Refusal> {
        let seconds = request.duration.unwrap_or(self.duration.default);
        if self.duration.offers(seconds) {
            return Ok(seconds);
        }
        Err(refusal("duration", seconds, self.duration.allowed()))
    }

    fn size(&self, request: &Request) -> Result<FrameSize, Refusal> {
        if let Some(size) = request.size {
            let offered = self.offered(size).ok_or_else(|| {
                refusal(
                    "size",
                    size,
                    list(self.sizes.iter().map(|offered| offered.size)),
                )
            })?;
            for (field, wish, is) in [
                ("resolution", &request.resolution, &offered.resolution),
                ("aspect_ratio", &request.aspect_ratio, &offered.aspect_ratio),
            ] {
                if let Some(wish) = wish.as_ref().filter(|wish| !wish.eq_ignore_ascii_case(is)) {
                    return Err(refusal(
                        &format!("size and {field}"),
                        format!("{size} and {wish}"),
                        format!("{field} {is} beside size {size}, or one of the two"),
                    ));
                }
            }
            return Ok(size);
        }
        let default = self.offered(self.default_size);
        let known = |field: &str, wish: &Option<String>, names: Vec<&str>| match wish {
            Some(wish) if !names.iter().any(|name| name.eq_ignore_ascii_case(wish)) => {
                Err(refusal(field, wish, list(unique(names))))
            }
            _ => Ok(()),
        };
        known(
            "resolution",
            &request.resolution,
            self.sizes
                .iter()
                .map(|offered| offered.resolution.as_str())
                .collect(),
        )?;
        known(
            "aspect_ratio",
            &request.aspect_ratio,
            self.sizes
                .iter()
                .map(|offered| offered.aspect_ratio.as_str())
                .collect(),
        )?;
        let resolution = request
            .resolution
            .as_deref()
            .or(default.map(|offered| offered.resolution.as_str()));
        let aspect_ratio = request
            .aspect_ratio
            .as_deref()
            .or(default.map(|offered| offered.aspect_ratio.as_str()));
        self.sizes
            .iter()
            .find(|offered| {
                resolution.is_some_and(|wish| offered.resolution.eq_ignore_ascii_case(wish))
                    && aspect_ratio == Some(offered.aspect_ratio.as_str())
            })
            .map(|offered| offered.size)
            .ok_or_else(|| {
                let sent = format!(
                    "{} and {}",
                    resolution.unwrap_or_default(),
                    aspect_ratio.unwrap_or_default()
                );
                refusal(
                    "resolution and aspect_ratio",
                    sent,
                    list(self.sizes.iter().map(|offered| offered.size)),
                )
            })
    }

    fn audio(&self, request: &Request) -> Result<bool, Refusal> {
        match (self.audio, request.generate_audio) {
            (AudioMode::Always, Some(false)) => Err(refusal(
                "generate_audio",
                false,
                "true, or nothing".to_owned(),
            )),
            (AudioMode::Never, Some(true)) => Err(refusal(
                "generate_audio",
                true,
                "false, or nothing".to_owned(),
            )),
            (AudioMode::Always, _) => Ok(true),
            (AudioMode::Never, _) => Ok(false),
            (AudioMode::Toggle, wish) => Ok(wish.unwrap_or(self.audio_by_default)),
        }
    }

    fn check_seed(&self, request: &Request, refusals: &mut Vec<Refusal>) {
        match (self.seed, request.seed) {
            (None, Some(seed)) => refusals.push(refusal(
                "seed",
                seed,
                "nothing: this model has no seed".to_owned(),
            )),
            (Some(range), Some(seed)) if seed < range.min || seed > range.max => {
                refusals.push(refusal(
                    "seed",
                    seed,
                    format!("whole numbers from {} to {}", range.min, range.max),
                ));
            }
            _ => {}
        }
    }

    fn check_samples(&self, request: &Request, refusals: &mut Vec<Refusal>) {
        if request.sample_count > self.max_samples {
            refusals.push(refusal(
                "sample_count",
                request.sample_count,
                format!("1 to {}", self.max_samples),
            ));
        }
    }

    fn check_inputs(&self, request: &Request, refusals: &mut Vec<Refusal>) {
        let slots =
            || {
                if self.inputs.is_empty() {
                    return "nothing: this model takes text alone".to_owned();
                }
                list(self.inputs.iter().map(|slot| {
                    format!("{} {} {}", slot.max, slot.kind.as_str(), slot.role.as_str())
                }))
            };
        for (at, input) in request.inputs.iter().enumerate() {
            let same = request.inputs[..=at]
                .iter()
                .filter(|other| (other.kind, other.role) == (input.kind, input.role))
                .count();
            let slot = self
                .inputs
                .iter()
                .find(|slot| (slot.kind, slot.role) == (input.kind, input.role));
            if slot.is_none_or(|slot| same > slot.max as usize) {
                let sent = format!("a {} as {}", input.kind.as_str(), input.role.as_str());
                refusals.push(refusal(&format!("input_references[{at}]"), sent, slots()));
            }
        }
    }

    /// Fields that this pair has not, and some that no provider has yet: refused by name rather than dropped.
    fn check_absent(&self, request: &Request, refusals: &mut Vec<Refusal>) {
        let absent: [(&str, Option<String>); 8] = [
            (
                "negative_prompt",
                request
                    .negative_prompt
                    .as_ref()
                    .filter(|_| !self.negative_prompt)
                    .map(|_| "a text".to_owned()),
            ),
            (
                "enhance_prompt",
                request.enhance_prompt.map(|value| value.to_string()),
            ),
            (
                "compression_quality",
                request.compression_quality.map(|value| value.to_string()),
            ),
            ("person_generation", request.person_generation.clone()),
            ("resize_mode", request.resize_mode.clone()),
            ("quality", request.quality.clone()),
            (
                "input_video_duration",
                request.input_video_duration.map(|value| value.to_string()),
            ),
            (
                "input_audio_duration",
                request.input_audio_duration.map(|value| value.to_string()),
            ),
        ];
        for (field, sent) in absent {
            if let Some(sent) = sent {
                refusals.push(refusal(
                    field,
                    sent,
                    "nothing: this model has no such parameter".to_owned(),
                ));
            }
        }
    }

    fn check_passthrough(&self, request: &Request, refusals: &mut Vec<Refusal>) {
        for key in request
            .provider_params
            .keys()
            .filter(|key| !self.passthrough.contains(key))
        {
            let allowed = if self.passthrough.is_empty() {
                "nothing".to_owned()
            } else {
                list(self.passthrough.iter())
            };
            refusals.push(refusal(&format!("provider_params.{key}"), key, allowed));
        }
    }
}

fn refusal(field: &str, sent: impl ToString, allowed: String) -> Refusal {
    Refusal {
        field: field.to_owned(),
        sent: sent.to_string(),
        allowed,
    }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn unique<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use filmgate_core::request::{Input, ModelId};

    use super::*;
    use crate::Catalogue;

    fn resolve(change: impl FnOnce(&mut Request)) -> Result<Shape, Vec<Refusal>> {
        let catalogue = Catalogue::built_in().unwrap();
        let model = ModelId("testcard".into());
        let mut request = Request::new(model.clone(), "a boat");
        change(&mut request);
        catalogue.find(&model).unwrap().pairs[0]
            .capabilities
            .resolve(&request)
    }

    fn refused(change: impl FnOnce(&mut Request)) -> String {
        resolve(change).unwrap_err().remove(0).field
    }

    #[test]
    fn what_is_not_said_is_the_models_default() {
        let shape = resolve(|_| {}).unwrap();
        assert_eq!(
            shape,
            Shape {
                seconds: Some(4),
                size: Some(FrameSize::new(1280, 720)),
                audio: Some(false)
            }
        );
    }

    #[test]
    fn resolution_and_aspect_ratio_choose_a_size() {
        let size = |resolution: Option<&str>, ratio: Option<&str>| {
            resolve(|request| {
                request.resolution = resolution.map(str::to_owned);
                request.aspect_ratio = ratio.map(str::to_owned);
            })
            .unwrap()
            .size
            .unwrap()
        };
        assert_eq!(size(Some("480P"), None), FrameSize::new(854, 480));
        assert_eq!(size(None, Some("9:16")), FrameSize::new(720, 1280));
        assert_eq!(size(Some("1080p"), Some("1:1")), FrameSize::new(1080, 1080));
    }

    #[test]
    fn a_size_beside_a_resolution_must_agree_with_it() {
        assert!(
            resolve(|request| (request.size, request.resolution) =
                (Some(FrameSize::new(854, 480)), Some("480p".into())))
            .is_ok()
        );
        assert_eq!(
            refused(|request| (request.size, request.resolution) =
                (Some(FrameSize::new(854, 480)), Some("720p".into()))),
            "size and resolution"
        );
    }

    #[test]
    fn every_fault_is_told_at_once_with_what_was_sent_and_what_is_allowed() {
        let refusals = resolve(|request| {
            (request.duration, request.seed, request.sample_count) = (Some(21), Some(-1), 5)
        })
        .unwrap_err();
        assert_eq!(
            refusals
                .iter()
                .map(|refusal| refusal.field.as_str())
                .collect::<Vec<_>>(),
            ["duration", "seed", "sample_count"]
        );
        assert_eq!(
            (refusals[0].sent.as_str(), refusals[0].allowed.as_str()),
            ("21", "whole seconds from 1 to 20")
        );
    }

    #[test]
    fn parameters_and_inputs_the_model_has_not_are_refused_by_name() {
        assert_eq!(
            refused(|request| request.negative_prompt = Some("rain".into())),
            "negative_prompt"
        );
        assert_eq!(
            refused(|request| request.resolution = Some("8k".into())),
            "resolution"
        );
        assert_eq!(
            refused(|request| drop(request.provider_params.insert("fps".into(), 1.into()))),
            "provider_params.fps"
        );
        let image = |role| Input {
            kind: MediaKind::Image,
            role,
            reference_type: None,
            key: String::new(),
            mime_type: "image/png".into(),
            bytes: 1,
            sha256: String::new(),
            url: None,
            duration_ms: None,
        };
        assert!(resolve(|request| request.inputs = vec![image(InputRole::FirstFrame)]).is_ok());
        assert_eq!(
            refused(|request| request.inputs = vec![image(InputRole::LastFrame)]),
            "input_references[0]"
        );
        assert_eq!(
            refused(|request| request.inputs = vec![image(InputRole::FirstFrame); 2]),
            "input_references[1]"
        );
    }
}
