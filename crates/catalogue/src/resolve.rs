//! Whether a request asks for what a provider can do, and what its outputs will be like then.
//!
//! What is not said is the model's default; where that does not go with what was said, it is the nearest that does.
//!
//! Not here: what the provider's own rules alone can tell (`Provider::check`), what it costs (`pricing`).

use filmgate_core::facts::{Condition, Fact, FactValue, Mode};
use filmgate_core::frame_size::FrameSize;
use filmgate_core::request::{Input, InputRole, MediaKind, Refusal, Request, Shape};

use crate::capability::{
    AudioMode, Capabilities, Constraint, InputSlot, OfferedSize, ratio_name, resolution_name,
};

impl Capabilities {
    /// What the outputs of `request` will be like, or everything that stands against it.
    pub fn resolve(&self, request: &Request) -> Result<Shape, Vec<Refusal>> {
        let mut refusals = Vec::new();
        let mode = Mode::of(request, &self.modes);
        let mut shape = Shape {
            mode: Some(mode),
            ..Shape::default()
        };
        match self.seconds(request, mode) {
            Ok(seconds) => shape.seconds = seconds,
            Err(refusal) => refusals.push(refusal),
        }
        match self.picture(request) {
            Ok(picture) => picture.lend(&mut shape),
            Err(refusal) => refusals.push(refusal),
        }
        match self.audio(request) {
            Ok(audio) => shape.audio = Some(audio),
            Err(refusal) => refusals.push(refusal),
        }
        match one_of("quality", request.quality.as_ref(), &self.quality) {
            Ok(quality) => shape.quality = quality.or(self.quality.first()).cloned(),
            Err(refusal) => refusals.push(refusal),
        }
        match self.fps(request) {
            Ok(fps) => shape.fps = fps,
            Err(refusal) => refusals.push(refusal),
        }
        self.check_seed(request, &mut refusals);
        self.check_samples(request, &mut refusals);
        self.check_inputs(request, mode, &mut refusals);
        self.check_texts(request, &mut refusals);
        self.check_switches(request, &mut refusals);
        self.check_passthrough(request, &mut refusals);
        if refusals.is_empty() {
            shape = self.fitting(request, shape);
            self.leave_out(request, &mut shape, &mut refusals);
            refusals.extend(self.violations(request, &shape));
        }
        if refusals.is_empty() {
            Ok(shape)
        } else {
            Err(refusals)
        }
    }

    fn applying(&self, request: &Request, shape: &Shape) -> impl Iterator<Item = &Constraint> {
        let facts = self.facts(request, shape);
        self.constraints
            .iter()
            .filter(move |constraint| constraint.when.iter().all(|when| facts.meet(when)))
    }

    /// `shape` with what was not said changed to what goes with what was. A tier that was not said is the first that does.
    fn fitting(&self, request: &Request, shape: Shape) -> Shape {
        let of_tier = |quality: &String| {
            let mut fitted = Shape {
                quality: Some(quality.clone()),
                ..shape.clone()
            };
            self.fit(request, &mut fitted);
            fitted
        };
        let tiers = self.quality.iter().filter(|_| request.quality.is_none());
        let fits = |shape: &Shape| self.violations(request, shape).is_empty();
        if let Some(fitted) = tiers.map(of_tier).find(fits) {
            return fitted;
        }
        let mut fitted = shape;
        self.fit(request, &mut fitted);
        fitted
    }

    /// Changes what was not said until it goes with what was.
    fn fit(&self, request: &Request, shape: &mut Shape) {
        for _ in &self.constraints {
            let facts = self.facts(request, shape);
            let unmet = self
                .applying(request, shape)
                .flat_map(|constraint| &constraint.require)
                .filter(|required| !said(request, required.fact) && !facts.meet(required));
            let fitted = unmet
                .filter_map(|required| self.fitted(shape, required))
                .next();
            match fitted {
                Some(fitted) => *shape = fitted,
                None => return,
            }
        }
    }

    /// `shape` with the first of what is required that goes with the rest of it.
    fn fitted(&self, shape: &Shape, required: &Condition) -> Option<Shape> {
        required.among.iter().find_map(|value| {
            let mut fitted = shape.clone();
            match (required.fact, value) {
                (Fact::Duration, FactValue::Number(seconds)) => fitted.seconds = Some(*seconds),
                (Fact::Fps, FactValue::Number(fps)) => fitted.fps = Some(*fps),
                (Fact::Audio, FactValue::Flag(audio)) if self.audio == AudioMode::Toggle => {
                    fitted.audio = Some(*audio);
                }
                (Fact::Quality, FactValue::Word(word)) => fitted.quality = Some(word.clone()),
                (Fact::Resolution, FactValue::Word(word)) => {
                    self.named(Some(word), shape.aspect_ratio.as_ref())?
                        .lend(&mut fitted);
                }
                (Fact::AspectRatio, FactValue::Word(word)) => {
                    self.named(shape.resolution.as_ref(), Some(word))?
                        .lend(&mut fitted);
                }
                _ => return None,
            }
            Some(fitted)
        })
    }

    /// Takes out of `shape` what the inputs decide, and refuses it where it was asked for.
    fn leave_out(&self, request: &Request, shape: &mut Shape, refusals: &mut Vec<Refusal>) {
        let applying: Vec<&Constraint> = self.applying(request, shape).collect();
        for (constraint, fact) in applying.into_iter().flat_map(|constraint| {
            constraint
                .leave_out
                .iter()
                .map(move |fact| (constraint, fact))
        }) {
            if said(request, *fact) {
                let sent = self
                    .facts(request, shape)
                    .value(*fact)
                    .map_or_else(|| "something".to_owned(), |value| value.to_string());
                let allowed = format!("nothing{}", beside(&constraint.when));
                refusals.push(refusal(fact.as_str(), sent, allowed));
            }
            match fact {
                Fact::Duration if !self.follows_source(shape) => shape.seconds = None,
                Fact::Resolution => (shape.resolution, shape.size) = (None, None),
                Fact::AspectRatio => (shape.aspect_ratio, shape.size) = (None, None),
                Fact::Quality => shape.quality = None,
                Fact::Fps => shape.fps = None,
                _ => {}
            }
        }
    }

    /// What the constraints have against an order of which each part is offered.
    fn violations(&self, request: &Request, shape: &Shape) -> Vec<Refusal> {
        let facts = self.facts(request, shape);
        let mut refusals = Vec::new();
        for constraint in self.applying(request, shape) {
            if constraint.never {
                let sent = list(constraint.when.iter().map(stated));
                refusals.push(refusal("model", sent, "anything else".to_owned()));
            }
            for required in constraint
                .require
                .iter()
                .filter(|required| !facts.meet(required))
            {
                let sent = facts.value(required.fact);
                let sent = sent.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
                let allowed = format!("{}{}", list(&required.among), beside(&constraint.when));
                refusals.push(refusal(required.fact.as_str(), sent, allowed));
            }
        }
        refusals
    }

    fn follows_source(&self, shape: &Shape) -> bool {
        let mode = shape.mode.unwrap_or_default();
        self.duration.follows_source.contains(&mode)
    }

    /// `None`: the model chooses, or nobody has said how long the input is.
    fn seconds(&self, request: &Request, mode: Mode) -> Result<Option<u32>, Refusal> {
        if self.duration.follows_source.contains(&mode) {
            let source = source_seconds(request, mode);
            if let Some(seconds) = request.duration.filter(|wish| Some(*wish) != source) {
                let allowed = "nothing: the result is as long as what it is made of".to_owned();
                return Err(refusal("duration", seconds, allowed));
            }
            let longest = Some(self.duration.max())
                .filter(|seconds| *seconds > 0 && mode != Mode::AudioToVideo);
            return Ok(source.map(|source| longest.map_or(source, |longest| source.min(longest))));
        }
        let Some(seconds) = request.duration else {
            return Ok(self.duration.default);
        };
        if self.duration.offers(seconds) {
            return Ok(Some(seconds));
        }
        Err(refusal("duration", seconds, self.duration.allowed()))
    }

    fn picture(&self, request: &Request) -> Result<&OfferedSize, Refusal> {
        if let Some(size) = request.size {
            return self.sized(request, size);
        }
        one_of(
            "resolution",
            request.resolution.as_ref(),
            &self.resolutions(),
        )?;
        let ratios = self.aspect_ratios();
        one_of("aspect_ratio", request.aspect_ratio.as_ref(), &ratios)?;
        let (resolution, ratio) = (request.resolution.as_ref(), request.aspect_ratio.as_ref());
        self.named(resolution, ratio).ok_or_else(|| {
            let sent = format!(
                "{} and {}",
                resolution.map_or("", String::as_str),
                ratio.map_or("", String::as_str)
            );
            let allowed = self.sizes.iter().map(|offered| match offered.size {
                Some(size) => size.to_string(),
                None => list(
                    [&offered.resolution, &offered.aspect_ratio]
                        .into_iter()
                        .flatten(),
                )
                .replace(", ", " "),
            });
            refusal("resolution and aspect_ratio", sent, list(allowed))
        })
    }

    /// What is offered in `size`, by its pixels or, where nobody has told those, by the names it has everywhere.
    fn sized(&self, request: &Request, size: FrameSize) -> Result<&OfferedSize, Refusal> {
        let by_name = || {
            self.sizes.iter().find(|offered| {
                let mut ratio = size.aspect_ratio() == ratio_name(size);
                ratio &= offered.aspect_ratio == Some(size.aspect_ratio());
                let named = match offered.resolution.as_deref() {
                    Some("4k") => resolution_name(size) == "2160p",
                    name => name == Some(resolution_name(size).as_str()),
                };
                offered.size.is_none() && ratio && named
            })
        };
        let offered = self.offered(size).or_else(by_name).ok_or_else(|| {
            let sizes: Vec<FrameSize> = self
                .sizes
                .iter()
                .filter_map(|offered| offered.size)
                .collect();
            let allowed = if sizes.is_empty() {
                "a resolution or an aspect_ratio that the model has".to_owned()
            } else {
                list(sizes)
            };
            refusal("size", size, allowed)
        })?;
        for (field, wish, is) in [
            ("resolution", &request.resolution, &offered.resolution),
            ("aspect_ratio", &request.aspect_ratio, &offered.aspect_ratio),
        ] {
            let is = is.as_deref().unwrap_or_default();
            if let Some(wish) = wish.as_ref().filter(|wish| !wish.eq_ignore_ascii_case(is)) {
                return Err(refusal(
                    &format!("size and {field}"),
                    format!("{size} and {wish}"),
                    format!("{field} {is} beside size {size}, or one of the two"),
                ));
            }
        }
        Ok(offered)
    }

    /// What is offered under these names; what is not named is the default, or the first there is.
    fn named(&self, resolution: Option<&String>, ratio: Option<&String>) -> Option<&OfferedSize> {
        let default = self.sizes.first()?;
        let fits = |is: &Option<String>, wish: Option<&String>| {
            wish.is_none_or(|wish| is.as_ref().is_some_and(|is| is.eq_ignore_ascii_case(wish)))
        };
        let found = || {
            self.sizes.iter().filter(|offered| {
                fits(&offered.resolution, resolution) && fits(&offered.aspect_ratio, ratio)
            })
        };
        found()
            .find(|offered| {
                (resolution.is_some() || offered.resolution == default.resolution)
                    && (ratio.is_some() || offered.aspect_ratio == default.aspect_ratio)
            })
            .or_else(|| found().next())
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

    fn fps(&self, request: &Request) -> Result<Option<u32>, Refusal> {
        let default = self.fps.first().copied();
        let Some(wish) = request.provider_params.get(FPS).filter(|_| self.has_fps()) else {
            return Ok(default);
        };
        let number = wish.as_u64().and_then(|wish| u32::try_from(wish).ok());
        let offered = number.filter(|number| self.fps.contains(number));
        match offered {
            Some(fps) => Ok(Some(fps)),
            None => Err(refusal("provider_params.fps", wish, list(&self.fps))),
        }
    }

    /// Whether the frames a second can be chosen.
    fn has_fps(&self) -> bool {
        self.fps.len() > 1
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

    fn check_inputs(&self, request: &Request, mode: Mode, refusals: &mut Vec<Refusal>) {
        let slots: Vec<&InputSlot> = self
            .inputs
            .iter()
            .filter(|slot| slot.is_for(mode))
            .collect();
        let before = refusals.len();
        for (at, input) in request.inputs.iter().enumerate() {
            let slot = slots.iter().find(|slot| slot.fits(input));
            let same = |slot: &InputSlot| {
                let all = request.inputs[..=at].iter();
                all.filter(|other| slot.fits(other)).count()
            };
            let field = format!("input_references[{at}]");
            match slot {
                Some(slot) if slot.max.is_none_or(|max| same(slot) <= max as usize) => {
                    if let Some(most) = slot.max_bytes.filter(|most| input.bytes > *most) {
                        let sent = format!("{} bytes", input.bytes);
                        refusals.push(refusal(&field, sent, format!("up to {most} bytes")));
                    }
                }
                _ => {
                    let sent = format!("a {} as {}", input.kind.as_str(), input.role.as_str());
                    refusals.push(refusal(&field, sent, self.slots(&slots)));
                }
            }
        }
        if refusals.len() > before {
            return;
        }
        if !self.modes.is_empty() && !self.modes.contains(&mode) {
            let sent = format!("what makes {}", mode.as_str());
            let allowed = list(self.modes.iter().map(|mode| mode.as_str()));
            let allowed = format!("what makes {allowed}");
            refusals.push(refusal("input_references", sent, allowed));
        }
        for slot in slots {
            let given: Vec<&Input> = request
                .inputs
                .iter()
                .filter(|input| slot.fits(input))
                .collect();
            if given.len() < slot.min as usize {
                let what = format!("{} {}", slot.kind.as_str(), slot.role.as_str());
                let (sent, allowed) = (format!("{} {what}", given.len()), slot.stated());
                refusals.push(refusal("input_references", sent, allowed));
            } else if !given.is_empty() {
                slot.check_seconds(request, given.len(), refusals);
            }
        }
        let all = request.inputs.len();
        if let Some(most) = self.max_inputs.filter(|most| all > *most as usize) {
            refusals.push(refusal("input_references", all, format!("up to {most}")));
        }
    }

    fn slots(&self, slots: &[&InputSlot]) -> String {
        if self.inputs.is_empty() {
            return "nothing: this model takes text alone".to_owned();
        }
        if slots.is_empty() {
            return list(self.inputs.iter().map(InputSlot::stated));
        }
        list(slots.iter().map(|slot| slot.stated()))
    }

    fn check_texts(&self, request: &Request, refusals: &mut Vec<Refusal>) {
        let negative = request.negative_prompt.as_ref();
        if negative.is_some() && !self.negative_prompt {
            refusals.push(absent("negative_prompt", "a text"));
        }
        for (field, text, most) in [
            ("prompt", Some(&request.prompt), self.prompt_max_chars),
            ("negative_prompt", negative, self.negative_prompt_max_chars),
        ] {
            let units = text.map_or(0, |text| text.encode_utf16().count());
            if let Some(most) = most.filter(|most| units > *most as usize) {
                let sent = format!("a text of {units} UTF-16 units");
                refusals.push(refusal(field, sent, format!("up to {most}")));
            }
        }
    }

    /// Fields that this pair may not have: refused by name rather than dropped.
    fn check_switches(&self, request: &Request, refusals: &mut Vec<Refusal>) {
        let text = |value: Option<u32>| value.map(|value| value.to_string());
        for (field, sent, has) in [
            (
                "enhance_prompt",
                request.enhance_prompt.map(|value| value.to_string()),
                self.enhance_prompt,
            ),
            (
                "compression_quality",
                text(request.compression_quality.map(u32::from)),
                self.compression_quality,
            ),
            (
                "input_video_duration",
                text(request.input_video_duration),
                self.takes(MediaKind::Video),
            ),
            (
                "input_audio_duration",
                text(request.input_audio_duration),
                self.takes(MediaKind::Audio),
            ),
        ] {
            if let Some(sent) = sent.filter(|_| !has) {
                refusals.push(absent(field, sent));
            }
        }
        for (field, sent, words) in [
            (
                "person_generation",
                &request.person_generation,
                &self.person_generation,
            ),
            ("resize_mode", &request.resize_mode, &self.resize_mode),
        ] {
            refusals.extend(one_of(field, sent.as_ref(), words).err());
        }
    }

    fn check_passthrough(&self, request: &Request, refusals: &mut Vec<Refusal>) {
        let is_known =
            |key: &String| self.passthrough.contains(key) || (key == FPS && self.has_fps());
        for key in request.provider_params.keys().filter(|key| !is_known(key)) {
            let known = self.passthrough.iter().map(String::as_str);
            let known: Vec<&str> = known.chain(self.has_fps().then_some(FPS)).collect();
            let allowed = if known.is_empty() {
                "nothing".to_owned()
            } else {
                list(known)
            };
            refusals.push(refusal(&format!("provider_params.{key}"), key, allowed));
        }
    }
}

impl OfferedSize {
    fn lend(&self, shape: &mut Shape) {
        shape.size = self.size;
        shape.resolution.clone_from(&self.resolution);
        shape.aspect_ratio.clone_from(&self.aspect_ratio);
    }
}

impl InputSlot {
    fn fits(&self, input: &Input) -> bool {
        let as_what = match (&self.reference_type, &input.reference_type) {
            (Some(own), Some(wish)) => own == wish,
            _ => true,
        };
        as_what && (self.kind, self.role) == (input.kind, input.role)
    }

    /// As a message has it, such as `1 image first_frame`.
    fn stated(&self) -> String {
        let number = match (self.min, self.max) {
            (0, Some(max)) => max.to_string(),
            (min, Some(max)) if min == max => max.to_string(),
            (min, Some(max)) => format!("{min} to {max}"),
            (0, None) => "any number of".to_owned(),
            (min, None) => format!("at least {min}"),
        };
        format!("{number} {} {}", self.kind.as_str(), self.role.as_str())
    }

    /// Of what the client says of its clips or its sound, as far as that is about these alone.
    fn check_seconds(&self, request: &Request, given: usize, refusals: &mut Vec<Refusal>) {
        let (field, said) = match self.kind {
            MediaKind::Image => return,
            MediaKind::Video => ("input_video_duration", request.input_video_duration),
            MediaKind::Audio => ("input_audio_duration", request.input_audio_duration),
        };
        let mut of_kind = request
            .inputs
            .iter()
            .filter(|input| input.kind == self.kind);
        let measured: Option<u64> =
            of_kind.try_fold(0u64, |sum, input| sum.checked_add(input.duration_ms?));
        // A part of a second more than is allowed is not told here: limits are whole seconds, and rounded.
        let measured = measured.and_then(|ms| u32::try_from(ms / 1000).ok());
        let Some(seconds) = measured.or(said) else {
            return;
        };
        let alone = request
            .inputs
            .iter()
            .filter(|input| input.kind == self.kind)
            .count()
            == 1
            && given == 1;
        let least = self.min_seconds.filter(|_| alone).unwrap_or(0);
        let each = self.max_seconds.filter(|_| alone);
        let most = match (each, self.total_max_seconds) {
            (Some(each), Some(total)) => Some(each.min(total)),
            (each, total) => each.or(total),
        };
        if seconds < least || most.is_some_and(|most| seconds > most) {
            let allowed = match most {
                Some(most) => format!("{least} to {most} seconds"),
                None => format!("at least {least} seconds"),
            };
            refusals.push(refusal(field, seconds, allowed));
        }
    }
}

/// Whole seconds of the clip or the sound that the result is as long as: as measured, else as its client says.
fn source_seconds(request: &Request, mode: Mode) -> Option<u32> {
    let (kind, said) = match mode {
        Mode::AudioToVideo => (MediaKind::Audio, request.input_audio_duration),
        _ => (MediaKind::Video, request.input_video_duration),
    };
    let mut sources = request
        .inputs
        .iter()
        .filter(|input| (input.kind, input.role) == (kind, InputRole::Source));
    let measured = sources.next().and_then(|input| input.duration_ms);
    let nearest = |ms: u64| u32::try_from(ms.saturating_add(500) / 1000).unwrap_or(u32::MAX);
    let measured = measured.map(|ms| nearest(ms).max(1));
    measured.or(said)
}

/// The key of `provider_params` that chooses the frames a second.
pub(crate) const FPS: &str = "fps";

/// Whether the request itself names it.
fn said(request: &Request, fact: Fact) -> bool {
    match fact {
        Fact::Duration => request.duration.is_some(),
        Fact::Resolution => request.resolution.is_some() || request.size.is_some(),
        Fact::AspectRatio => request.aspect_ratio.is_some() || request.size.is_some(),
        Fact::Quality => request.quality.is_some(),
        Fact::Audio => request.generate_audio.is_some(),
        Fact::Fps => request.provider_params.contains_key(FPS),
        _ => false,
    }
}

/// The word of `offered` that is meant, whatever its case.
fn one_of<'a>(
    field: &str,
    wish: Option<&String>,
    offered: &'a [String],
) -> Result<Option<&'a String>, Refusal> {
    let Some(wish) = wish else { return Ok(None) };
    if offered.is_empty() {
        return Err(absent(field, wish));
    }
    let found = offered.iter().find(|word| word.eq_ignore_ascii_case(wish));
    found
        .map(Some)
        .ok_or_else(|| refusal(field, wish, list(offered)))
}

fn beside(when: &[Condition]) -> String {
    if when.is_empty() {
        return String::new();
    }
    format!(" beside {}", list(when.iter().map(stated)))
}

fn stated(condition: &Condition) -> String {
    match &condition.among[..] {
        [FactValue::Flag(true)] => condition.fact.as_str().to_owned(),
        [FactValue::Flag(false)] => format!("no {}", condition.fact.as_str()),
        among => format!("{} {}", condition.fact.as_str(), list(among)),
    }
}

fn absent(field: &str, sent: impl ToString) -> Refusal {
    let allowed = "nothing: this model has no such parameter";
    refusal(field, sent, allowed.to_owned())
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

#[cfg(test)]
mod tests {
    use filmgate_core::request::ModelId;

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

    fn picture(role: InputRole) -> Input {
        Input {
            kind: MediaKind::Image,
            role,
            reference_type: None,
            key: String::new(),
            mime_type: "image/png".into(),
            bytes: 1,
            sha256: String::new(),
            url: None,
            duration_ms: None,
        }
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
                audio: Some(false),
                resolution: Some("720p".into()),
                aspect_ratio: Some("16:9".into()),
                quality: None,
                fps: None,
                mode: Some(Mode::TextToVideo),
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

    /// A film of 121 frames is one of five seconds to everybody, and one of 3.9 seconds is no film of three.
    #[test]
    fn a_clip_counts_as_the_whole_seconds_it_is_nearest_to() {
        let catalogue = Catalogue::built_in().unwrap();
        let model = ModelId("runway/aleph-2".into());
        let capabilities = &catalogue.find(&model).unwrap().pairs[0].capabilities;
        for (ms, seconds) in [(5_042, 5), (3_900, 4), (2_500, 3), (2_001, 2), (30_400, 30)] {
            let mut request = Request::new(model.clone(), "at night");
            request.inputs = vec![Input {
                kind: MediaKind::Video,
                role: InputRole::Source,
                mime_type: "video/mp4".into(),
                duration_ms: Some(ms),
                ..picture(InputRole::Source)
            }];
            let shape = capabilities.resolve(&request).unwrap();
            assert_eq!(shape.seconds, Some(seconds), "{ms}");
        }
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
        assert!(resolve(|request| request.inputs = vec![picture(InputRole::FirstFrame)]).is_ok());
        assert_eq!(
            refused(|request| request.inputs = vec![picture(InputRole::LastFrame)]),
            "input_references[0]"
        );
        assert_eq!(
            refused(|request| request.inputs = vec![picture(InputRole::FirstFrame); 2]),
            "input_references[1]"
        );
    }
}
