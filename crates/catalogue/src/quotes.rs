//! What the built-in catalogue charges, order by order: each amount reckoned by hand from the seller's own figures.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use filmgate_core::facts::Mode;
use filmgate_core::pricing::{Measured, PriceRules, cost_of_text, cost_of_ticks, total};
use filmgate_core::provider::Usage;
use filmgate_core::request::{Input, InputRole, MediaKind, ModelId, Request, Shape};
use filmgate_core::time::UnixTime;
use proptest::prelude::*;

use crate::{AudioMode, Catalogue, Lengths, Pair};

const NOW: UnixTime = UnixTime::from_seconds(1_795_420_800);

/// An order of a model at a provider, and what it costs there.
struct Priced {
    shape: Shape,
    rules: PriceRules,
    native_model: String,
    samples: u32,
}

impl Priced {
    fn quote(&self) -> i64 {
        let lines = self.rules.quote(&self.shape, self.samples).unwrap();
        total(&lines).unwrap().get()
    }

    fn reserve(&self) -> i64 {
        let reserve = self.rules.reserve(&self.shape, self.samples);
        reserve.unwrap().get()
    }

    fn settled(&self, outputs: u32, usage: &Usage) -> i64 {
        let ms = u64::from(self.shape.seconds.unwrap_or(0)) * 1000 + 41;
        let measured = Measured {
            output_ms: vec![ms; outputs as usize],
        };
        let settled = self.rules.settle(&self.shape, &measured, usage);
        settled.unwrap().get()
    }
}

fn built_in() -> &'static Catalogue {
    static BUILT_IN: LazyLock<Catalogue> =
        LazyLock::new(|| Catalogue::built_in().unwrap_or_else(|faults| panic!("{faults}")));
    &BUILT_IN
}

fn order(model: &str, change: impl FnOnce(&mut Request)) -> Request {
    let mut request = Request::new(ModelId(model.into()), "a boat");
    change(&mut request);
    request
}

fn priced_in(catalogue: &Catalogue, provider: &str, request: &Request) -> Option<Priced> {
    let model = catalogue.find(&request.model).unwrap();
    let pair = model
        .pairs
        .iter()
        .find(|pair| pair.provider.0 == provider)
        .unwrap();
    let shape = pair
        .capabilities
        .resolve(request)
        .unwrap_or_else(|refusals| panic!("{}: {refusals:?}", request.model));
    let facts = pair.facts(request, &shape);
    Some(Priced {
        rules: pair.tariff.rules_for(&facts, NOW)?,
        native_model: pair.native_model(&facts).to_owned(),
        samples: request.sample_count,
        shape,
    })
}

fn priced(model: &str, provider: &str, change: impl FnOnce(&mut Request)) -> Priced {
    priced_in(built_in(), provider, &order(model, change)).unwrap()
}

fn refused(model: &str, provider: &str, change: impl FnOnce(&mut Request)) -> String {
    let (catalogue, request) = (built_in(), order(model, change));
    let model = catalogue.find(&request.model).unwrap();
    let pair = model
        .pairs
        .iter()
        .find(|pair| pair.provider.0 == provider)
        .unwrap();
    pair.capabilities.resolve(&request).unwrap_err()[0].to_string()
}

fn input(kind: MediaKind, role: InputRole) -> Input {
    Input {
        kind,
        role,
        reference_type: None,
        key: String::new(),
        mime_type: String::new(),
        bytes: 1,
        sha256: String::new(),
        url: None,
        duration_ms: None,
    }
}

fn made_of(request: &mut Request, kind: MediaKind, role: InputRole, number: usize) {
    let inputs = vec![input(kind, role); number];
    request.inputs.extend(inputs);
}

fn shaped(request: &mut Request, seconds: u32, resolution: &str) {
    request.duration = Some(seconds);
    request.resolution = Some(resolution.into());
}

const QUIET: Usage = Usage {
    output_ms: None,
    tokens: None,
    credits: None,
    cost: None,
};

#[test]
fn by_the_second() {
    // No longer sold; its figures are kept here.
    let sora = r#"
[[models]]
id = "openai/sora-2-pro"
name = "Sora 2 Pro"
status = "active"
[[models.providers]]
provider = "openai"
native_model_id = "sora-2-pro"
duration = { values = [4, 8, 12], default = 4 }
resolutions = ["720p", "1024p", "1080p"]
aspect_ratios = ["9:16", "16:9"]
audio = "always"
settle_from = "quote"
sizes.1024p = { "16:9" = "1792x1024", "9:16" = "1024x1792" }
prices = [
  { meter = "output_second", usd = "0.3", when = { resolution = ["720p"], tier = ["standard"] }, source = "maker", as_of = "2026-08-01", confidence = "vendor" },
  { meter = "output_second", usd = "0.5", when = { resolution = ["1024p"], tier = ["standard"] }, source = "maker", as_of = "2026-08-01", confidence = "vendor" },
]
"#;
    let catalogue = Catalogue::read(&[("t", sora)]).unwrap();
    let request = order("openai/sora-2-pro", |request| {
        request.duration = Some(8);
        request.size = "1792x1024".parse().ok();
    });
    let sora = priced_in(&catalogue, "openai", &request).unwrap();
    assert_eq!(sora.quote(), 4_000_000_000);
    let ltx = priced("lightricks/ltx-2.5-fast", "ltx", |request| {
        shaped(request, 20, "1080p");
        request.provider_params.insert("fps".into(), 25.into());
    });
    assert_eq!(ltx.quote(), 2_600_000_000);
    assert_eq!(ltx.shape.fps, Some(25));
}

#[test]
fn by_the_second_with_and_without_sound() {
    let fast = |audio| {
        priced("google/veo-3.1-fast", "google-vertex", |request| {
            shaped(request, 6, "720p");
            request.generate_audio = Some(audio);
        })
        .quote()
    };
    assert_eq!((fast(false), fast(true)), (480_000_000, 600_000_000));
    let large = priced("google/veo-3.1", "google-vertex", |request| {
        shaped(request, 8, "4k");
    });
    assert_eq!(large.quote(), 4_800_000_000);
    let kling = priced("kling/kling-v3", "kling", |request| {
        request.duration = Some(7);
        request.quality = Some("pro".into());
        request.generate_audio = Some(true);
    });
    assert_eq!(kling.quote(), 1_176_000_000);
    assert_eq!(kling.shape.resolution.as_deref(), Some("1080p"));
}

#[test]
fn by_the_video_of_a_length_and_a_resolution() {
    let hailuo = |seconds, resolution| {
        priced("minimax/hailuo-2.3", "minimax", |request| {
            shaped(request, seconds, resolution);
        })
        .quote()
    };
    assert_eq!(hailuo(10, "768p"), 560_000_000);
    assert_eq!(hailuo(6, "1080p"), 490_000_000);
    let wrong = refused("minimax/hailuo-2.3", "minimax", |request| {
        shaped(request, 10, "1080p");
    });
    assert_eq!(
        wrong,
        "duration: 10 was sent; 6 beside resolution 1080p is allowed"
    );
    let luma = priced("luma/ray-3.2", "luma", |request| {
        shaped(request, 10, "720p")
    });
    assert_eq!(luma.quote(), 900_000_000);
}

#[test]
fn by_the_token() {
    let seedance = priced("bytedance/seedance-2.5", "byteplus", |request| {
        shaped(request, 5, "720p");
    });
    assert_eq!(seedance.quote(), 1_155_600_000);
    assert_eq!(seedance.reserve(), 1_165_230_000);
    let half_a_token = priced("bytedance/seedance-1.5-pro", "byteplus", |request| {
        shaped(request, 5, "720p");
        request.aspect_ratio = Some("4:3".into());
        request.generate_audio = Some(true);
    });
    assert_eq!(half_a_token.quote(), 260_834_400);
    let larger = priced("bytedance/seedance-2.0", "byteplus", |request| {
        shaped(request, 10, "1080p");
    });
    assert_eq!(larger.quote(), 3_742_200_000);
}

#[test]
fn by_the_token_with_a_clip() {
    let with_clip = |seconds, clip| {
        priced("bytedance/seedance-2.5", "byteplus", |request| {
            shaped(request, seconds, "720p");
            made_of(request, MediaKind::Video, InputRole::Reference, 1);
            request.input_video_duration = Some(clip);
        })
    };
    assert_eq!(with_clip(5, 2).quote(), 1_244_160_000);
    assert_eq!(with_clip(30, 15).quote(), 6_912_000_000);
    let reported = Usage {
        tokens: Some(123_456),
        ..QUIET
    };
    assert_eq!(with_clip(5, 2).settled(1, &reported), 790_118_400);
    let resold = priced("bytedance/seedance-2.0-fast", "fal", |request| {
        shaped(request, 5, "720p");
        request.aspect_ratio = Some("16:9".into());
        made_of(request, MediaKind::Video, InputRole::Reference, 1);
        request.input_video_duration = Some(4);
    });
    assert_eq!(resold.quote(), 1_306_368_000);
}

#[test]
fn by_the_credit() {
    let plain = priced("runway/gen-4.5", "runway", |request| {
        request.duration = Some(7)
    });
    assert_eq!(plain.quote(), 840_000_000);
    let aleph = priced("runway/aleph-2", "runway", |request| {
        made_of(request, MediaKind::Video, InputRole::Source, 1);
        request.input_video_duration = Some(6);
    });
    assert_eq!(aleph.quote(), 1_680_000_000);
}

#[test]
fn an_extension_on_vertex_is_seven_seconds() {
    let extended = priced("google/veo-3.1", "google-vertex", |request| {
        made_of(request, MediaKind::Video, InputRole::Source, 1);
    });
    assert_eq!(extended.shape.seconds, Some(7));
    assert_eq!(extended.quote(), 2_800_000_000);
    let seven = order("google/veo-3.1", |request| request.duration = Some(7));
    let model = built_in().find(&seven.model).unwrap();
    let mut pairs = model.pairs.iter();
    let vertex = pairs.find(|pair| pair.provider.0 == "google-vertex");
    let refusals = vertex.unwrap().capabilities.resolve(&seven).unwrap_err();
    assert_eq!(refusals[0].field, "duration");
}

#[test]
fn by_what_the_provider_says_it_cost() {
    let veo = priced("google/veo-3.1-fast", "openrouter", |request| {
        shaped(request, 8, "1080p");
        request.generate_audio = Some(true);
    });
    assert_eq!(veo.quote(), 960_000_000);
    for (text, nanos) in [("0.96", 960_000_000), ("0.8817", 881_700_000)] {
        let reported = Usage {
            cost: cost_of_text(text),
            ..QUIET
        };
        assert_eq!(veo.settled(1, &reported), nanos);
    }
    let grok = priced("xai/grok-imagine-video", "xai", |request| {
        shaped(request, 8, "480p");
    });
    assert_eq!(grok.quote(), 400_000_000);
    let reported = Usage {
        cost: cost_of_ticks(4_000_000_000),
        ..QUIET
    };
    assert_eq!(grok.settled(1, &reported), 400_000_000);
}

#[test]
fn by_what_goes_in_and_what_comes_out() {
    let horse = priced("alibaba/happyhorse-1.0", "alibaba", |request| {
        request.resolution = Some("720p".into());
        made_of(request, MediaKind::Video, InputRole::Source, 1);
        request.input_video_duration = Some(20);
    });
    assert_eq!(horse.shape.seconds, Some(15));
    assert_eq!(horse.quote(), 4_900_000_000);
    let h3 = priced("minimax/h3", "minimax", |request| {
        shaped(request, 8, "768p");
        made_of(request, MediaKind::Image, InputRole::Reference, 7);
        made_of(request, MediaKind::Video, InputRole::Reference, 1);
        made_of(request, MediaKind::Audio, InputRole::Reference, 1);
        (request.input_video_duration, request.input_audio_duration) = (Some(6), Some(4));
    });
    assert_eq!(h3.quote(), 1_200_000_000);
    let edited = priced("xai/grok-imagine-video", "xai", |request| {
        made_of(request, MediaKind::Video, InputRole::Source, 1);
        request.input_video_duration = Some(8);
    });
    assert_eq!(edited.quote(), 640_000_000);
    assert_eq!(
        (edited.shape.resolution, edited.shape.aspect_ratio),
        (None, None),
        "the clip decides"
    );
    let grok = priced("xai/grok-imagine-video-1.5", "xai", |request| {
        shaped(request, 10, "1080p");
        made_of(request, MediaKind::Image, InputRole::FirstFrame, 1);
    });
    assert_eq!(grok.quote(), 2_510_000_000);
    let kling = priced("kling/kling-v4", "fal", |request| {
        shaped(request, 10, "1080p");
        made_of(request, MediaKind::Video, InputRole::Source, 1);
        request.input_video_duration = Some(6);
    });
    assert_eq!(kling.quote(), 2_820_000_000);
}

#[test]
fn by_the_outputs_that_are_delivered() {
    let four = priced("google/veo-3.1-fast", "google-vertex", |request| {
        shaped(request, 8, "1080p");
        request.generate_audio = Some(true);
        request.sample_count = 4;
    });
    assert_eq!(four.quote(), 3_840_000_000);
    assert_eq!(four.settled(4, &QUIET), 3_840_000_000);
    assert_eq!(four.settled(3, &QUIET), 2_880_000_000);
}

#[test]
fn by_the_sound_that_drives_the_length() {
    let ltx = priced("lightricks/ltx-2.5-pro", "ltx", |request| {
        request.resolution = Some("1080p".into());
        made_of(request, MediaKind::Audio, InputRole::Source, 1);
        request.input_audio_duration = Some(10);
    });
    assert_eq!(ltx.shape.mode, Some(Mode::AudioToVideo));
    assert_eq!(ltx.quote(), 1_700_000_000);
    assert_eq!(ltx.settled(1, &QUIET), 1_700_000_000);
}

#[test]
fn by_a_fixed_rate_of_tokens() {
    let gemini = priced("google/gemini-omni-flash", "google-ai-studio", |request| {
        request.duration = Some(8);
        request.prompt = "word".repeat(200);
    });
    assert_eq!(gemini.quote(), 811_180_000);
}

#[test]
fn a_name_of_the_vendors_goes_by_mode_and_tier() {
    let named = |model: &str, provider: &str, change: fn(&mut Request)| {
        priced(model, provider, change).native_model
    };
    assert_eq!(
        named("google/veo-3.1", "fal", |request| made_of(
            request,
            MediaKind::Image,
            InputRole::FirstFrame,
            1
        )),
        "fal-ai/veo3.1/image-to-video"
    );
    assert_eq!(
        named("minimax/hailuo-2.3", "fal", |request| shaped(
            request, 6, "1080p"
        )),
        "fal-ai/minimax/hailuo-2.3/pro/text-to-video"
    );
    assert_eq!(
        named("kling/kling-v3", "openrouter", |request| {
            request.quality = Some("STD".into());
        }),
        "kwaivgi/kling-v3.0-std"
    );
    assert_eq!(named("alibaba/wan-2.7", "alibaba", |_| {}), "wan2.7-t2v");
}

#[test]
fn what_is_not_said_goes_along_with_what_is() {
    let kling = priced("kling/kling-v3", "kling", |request| {
        request.resolution = Some("720p".into());
    });
    assert_eq!(kling.shape.quality.as_deref(), Some("std"));
    let seedance = priced("bytedance/seedance-2.5", "byteplus", |request| {
        made_of(request, MediaKind::Image, InputRole::FirstFrame, 1);
    });
    assert_eq!(seedance.shape.aspect_ratio.as_deref(), Some("adaptive"));
    assert_eq!(seedance.shape.size, None);
    let refusal = refused("alibaba/happyhorse-1.0", "alibaba", |request| {
        made_of(request, MediaKind::Image, InputRole::FirstFrame, 1);
        request.aspect_ratio = Some("1:1".into());
    });
    assert_eq!(
        refusal,
        "aspect_ratio: 1:1 was sent; nothing beside mode image-to-video, video-edit is allowed"
    );
}

#[test]
fn a_length_that_the_model_chooses_is_held_at_the_longest() {
    let auto = priced("bytedance/seedance-2.0", "fal", |request| {
        request.aspect_ratio = Some("16:9".into());
    });
    assert_eq!(auto.shape.seconds, None);
    let longest = priced("bytedance/seedance-2.0", "fal", |request| {
        shaped(request, 15, "720p");
        request.aspect_ratio = Some("16:9".into());
    });
    assert_eq!(auto.reserve(), longest.reserve());
}

/// Requests that a pair takes, as many as tell its prices apart.
fn orders(pair: &Pair) -> Vec<Request> {
    use InputRole::{FirstFrame, LastFrame, Reference, Source};
    use MediaKind::{Audio, Image, Video};
    let capabilities = &pair.capabilities;
    let lengths: Vec<Option<u32>> = match &capabilities.duration.offered {
        Lengths::Range { min, max } => vec![None, Some(*min), Some(*max)],
        Lengths::Listed(listed) => std::iter::once(None)
            .chain(listed.iter().copied().map(Some))
            .collect(),
        Lengths::Unknown => vec![None],
    };
    let words = |words: Vec<String>| -> Vec<Option<String>> {
        std::iter::once(None)
            .chain(words.into_iter().map(Some))
            .collect()
    };
    let sounds = match capabilities.audio {
        AudioMode::Toggle => vec![Some(false), Some(true)],
        AudioMode::Always | AudioMode::Never => vec![None],
    };
    let inputs = [
        vec![],
        vec![(Image, FirstFrame)],
        vec![(Image, FirstFrame), (Image, LastFrame)],
        vec![(Image, Reference)],
        vec![(Video, Reference), (Image, Reference)],
        vec![(Video, Source)],
        vec![(Video, Source), (Image, Reference)],
        vec![(Audio, Source)],
    ];
    let mut orders = Vec::new();
    for length in &lengths {
        for resolution in words(capabilities.resolutions()) {
            for quality in words(capabilities.quality.clone()) {
                for sound in &sounds {
                    for inputs in &inputs {
                        let request = order("any/any", |request| {
                            request.duration = *length;
                            request.resolution.clone_from(&resolution);
                            request.quality.clone_from(&quality);
                            request.generate_audio = *sound;
                            request.inputs = inputs
                                .iter()
                                .map(|(kind, role)| input(*kind, *role))
                                .collect();
                            let clips = inputs.iter().any(|(kind, _)| *kind == Video);
                            request.input_video_duration = clips.then_some(5);
                            let sings = inputs.iter().any(|(kind, _)| *kind == Audio);
                            request.input_audio_duration = sings.then_some(5);
                        });
                        if capabilities.resolve(&request).is_ok() {
                            orders.push(request);
                        }
                    }
                }
            }
        }
    }
    orders
}

#[test]
fn whatever_is_offered_can_be_ordered_and_is_charged_by_one_meter() {
    let catalogue = built_in();
    for model in catalogue.models() {
        for pair in &model.pairs {
            let place = format!("{} at {}", model.id, pair.provider);
            let mut reached = BTreeMap::new();
            for request in orders(pair) {
                let shape = pair.capabilities.resolve(&request).unwrap();
                let facts = pair.facts(&request, &shape);
                *reached.entry(facts.mode()).or_insert(0) += 1;
                let Some(rules) = pair.tariff.rules_for(&facts, NOW) else {
                    continue;
                };
                assert!(rules.meters.len() <= 1, "{place}: {request:?}");
                let quote = rules.quote(&shape, 1).and_then(|lines| total(&lines));
                let quote = quote.unwrap_or_else(|| panic!("{place}: no quote of {request:?}"));
                assert!(!quote.is_zero(), "{place}: {request:?} is free");
                assert!(Some(quote) <= rules.reserve(&shape, 1), "{place}");
            }
            for mode in &pair.capabilities.modes {
                // A clip says itself which of these it is for.
                let told = Mode::OF_A_CLIP.contains(mode) || *mode == Mode::FirstLastFrame;
                assert!(told || reached.contains_key(mode), "{place}: {mode:?}");
            }
        }
    }
}

proptest! {
    /// Of any pair of the catalogue: a longer video is never cheaper, and what was ordered and delivered is settled at the
    /// quote, as far as the provider charges by that.
    #[test]
    fn of_every_pair_money_grows_with_the_length(at in any::<prop::sample::Index>(), seed in any::<prop::sample::Index>()) {
        let catalogue = built_in();
        let pairs: Vec<&Pair> = catalogue.models().iter().flat_map(|model| &model.pairs).collect();
        let pair = pairs[at.index(pairs.len())];
        let mut all = orders(pair);
        let request = all.swap_remove(seed.index(all.len()));
        let priced = |request: &Request| {
            let shape = pair.capabilities.resolve(request).ok()?;
            let rules = pair.tariff.rules_for(&pair.facts(request, &shape), NOW)?;
            Some(Priced { rules, shape, native_model: String::new(), samples: 1 })
        };
        if let Some(one) = priced(&request) {
            let quote = one.quote();
            if one.shape.seconds.is_some() {
                let counts_seconds = one.rules.settle_from != filmgate_core::pricing::SettleFrom::Measured;
                prop_assert!(!counts_seconds || one.settled(1, &QUIET) == quote);
            }
            let longer = Request { duration: request.duration.map(|seconds| seconds + 1), ..request };
            if let Some(longer) = priced(&longer) {
                prop_assert!(quote <= longer.quote());
            }
        }
    }
}
