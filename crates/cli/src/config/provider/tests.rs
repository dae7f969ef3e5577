use filmgate_catalogue::AudioMode;
use filmgate_core::request::ModelId;
use filmgate_providers::openai_compatible::Flavour;

use super::super::tests::written;
use super::super::{Config, Faults};
use super::*;

/// A whole provider; `{}` is where more keys of its model go.
const GPU_BOX: &str = r#"
[providers.gpu-box]
kind = "openai-compatible"
base_url = "http://10.0.0.5:8000/v1"
api_key = "env:CARGO_PKG_NAME"
flavour = "sglang"
concurrency = 4
deadline = "30m"
poll_every = "2s"
[[providers.gpu-box.models]]
id = "local/wan-2.2"
native_model_id = "Wan-AI/Wan2.2-T2V-A14B"
durations = [4, 8]
sizes = ["1280x720", "720x1280"]
price = { output_second = "0.02" }
name = "Wan on our own"
audio = "always"
first_frame = true
seed = { min = 0, max = 99 }
negative_prompt = true
sample_count = 2
passthrough = ["guidance_scale"]
"#;

fn faults(text: &str) -> Vec<String> {
    let Faults(faults) = written(text).unwrap_err();
    faults
}

fn server(config: &Config) -> &Server {
    match &config.providers["gpu-box"].kind {
        ProviderKind::OpenAiCompatible(server) => server,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_provider_of_ones_own_is_read_whole() {
    let config = written(GPU_BOX).unwrap();
    let provider = &config.providers["gpu-box"];
    assert_eq!(provider.poll_every, Some(Duration::from_secs(2)));
    assert_eq!(provider.deadline, Some(Duration::from_secs(1800)));
    assert_eq!(provider.concurrency, NonZeroU32::new(4));
    let server = server(&config);
    assert_eq!(server.base_url.as_str(), "http://10.0.0.5:8000/v1");
    assert_eq!(server.flavour, Some(Flavour::SgLang));
    // Cargo sets it for tests.
    assert_eq!(server.api_key, Some(Secret::new("filmgate")));
    let model = config.catalogue.find(&ModelId("local/wan-2.2".into()));
    let model = model.unwrap();
    assert_eq!(model.name, "Wan on our own");
    let pair = &model.pairs[0];
    assert_eq!(pair.native_model, "Wan-AI/Wan2.2-T2V-A14B");
    assert_eq!(pair.tariff.rules.len(), 1);
    assert_eq!(pair.capabilities.duration.default, Some(4));
    assert_eq!(pair.capabilities.passthrough, ["guidance_scale"]);
    assert_eq!(pair.capabilities.max_samples, 2);
    assert_eq!(pair.capabilities.seed.unwrap().max, 99);
}

#[test]
fn little_has_to_be_said() {
    let text = "[providers.openai-compatible]\nbase_url = \"https://h/v1\"\n[[providers.openai-compatible.models]]\nid = \"a/b\"\nnative_model_id = \"b\"\ndurations = { min = 1, max = 16 }\nsizes = [\"832x480\"]";
    let config = written(text).unwrap();
    let provider = &config.providers["openai-compatible"];
    assert_eq!((provider.poll_every, provider.deadline), (None, None));
    let model = config.catalogue.find(&ModelId("a/b".into())).unwrap();
    let capabilities = &model.pairs[0].capabilities;
    assert!(model.pairs[0].tariff.rules.is_empty());
    assert_eq!(
        (capabilities.audio, capabilities.seed),
        (AudioMode::Never, None)
    );
    assert!(capabilities.inputs.is_empty() && !capabilities.negative_prompt);
}

#[test]
fn every_fault_is_told_at_once_with_its_key() {
    let text = GPU_BOX
        .replace("http://10.0.0.5:8000/v1", "http://u:p@10.0.0.5/v1?x")
        .replace("env:CARGO_PKG_NAME", "env:NOBODY_SETS_THIS")
        .replace("\"sglang\"", "\"vllm\"")
        .replace("concurrency = 4", "concurrency = 0\nretries = 3")
        .replace("\"30m\"", "\"soon\"")
        .replace("[4, 8]", "\"4\"")
        .replace("\"720x1280\"", "\"720\"")
        .replace("\"0.02\"", "0.02")
        .replace(
            "[\"guidance_scale\"]",
            "[\"video_path\", \"seed\"]\ncolour = 1",
        )
        + "[[providers.gpu-box.models]]\nid = \"x/y\"\n";
    let faults = faults(&text);
    for (key, part) in [
        ("base_url", "api_key is the place"),
        ("api_key", "NOBODY_SETS_THIS"),
        ("flavour", "vllm-omni"),
        ("concurrency", "nonzero"),
        ("retries", "no such key"),
        ("deadline", "ms, s, m or h"),
        ("models[0].durations", "[4, 8]"),
        ("models[0].sizes", "720"),
        ("models[0].price.output_second", "string"),
        ("models[0].passthrough", "video_path"),
        ("models[0].passthrough", "own fields"),
        ("models[0].colour", "no such key"),
        ("models[1].native_model_id", "required"),
        ("models[1].durations", "required"),
        ("models[1].sizes", "required"),
    ] {
        let key = format!("providers.gpu-box.{key}");
        let told = faults
            .iter()
            .any(|fault| fault.starts_with(&key) && fault.contains(part));
        assert!(told, "{key} and {part} are not told in {faults:#?}");
    }
    assert_eq!(faults.len(), 15, "{faults:#?}");
}

#[test]
fn what_the_catalogue_finds_wrong_is_told_with_the_key_too() {
    let twice = GPU_BOX
        .replace("[4, 8]", "[4, 200]")
        .replace("sample_count = 2", "sample_count = 7")
        + "[[providers.gpu-box.models]]\nid = \"testcard\"\nnative_model_id = \"b\"\ndurations = [4]\nsizes = [\"832x480\"]\n";
    let faults = faults(&twice);
    let keys: Vec<&str> = faults
        .iter()
        .map(|fault| fault.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "providers.gpu-box.models[0].durations",
            "providers.gpu-box.models[0].sample_count",
            "providers.gpu-box.models[1].id"
        ]
    );
}

#[test]
fn a_model_of_this_release_is_changed_by_its_id() {
    let text = r#"
[providers.runway]
api_key = "key"
[[providers.runway.models]]
id = "runway/gen-4.5"
native_model_id = "gen4.5-later"
retires_on = "2027-01-31"
prices = [{ meter = "credit", usd = "0.009", credits_per_second = 12 }]
[[providers.runway.models]]
id = "runway/gen-4-turbo"
enabled = false
"#;
    let config = written(text).unwrap();
    let pairs = |id: &str| {
        let model = config.catalogue.find(&ModelId(id.into())).unwrap();
        model.pairs.clone()
    };
    let pair = &pairs("runway/gen-4.5")[0];
    assert_eq!(pair.native_model, "gen4.5-later");
    assert_eq!(pair.retires_on.unwrap().to_string(), "2027-01-31");
    assert_eq!(pair.tariff.rules[0].price_nanos.get(), 9_000_000);
    let providers = pairs("runway/gen-4-turbo");
    assert!(providers.iter().all(|pair| pair.provider.0 != "runway"));
    let wrong = text
        .replace("\"2027-01-31\"", "\"soon\"\ndurations = [4]")
        .replace("meter = \"credit\"", "metre = \"credit\"");
    let faults = faults(&wrong);
    for part in [
        "models[0].retires_on",
        "models[0].prices",
        "models[0].durations",
    ] {
        assert!(
            faults.iter().any(|fault| fault.contains(part)),
            "{part} is not told in {faults:?}"
        );
    }
}

#[test]
fn what_a_flavour_has_no_word_for_is_refused() {
    let text = GPU_BOX
        .replace("\"sglang\"", "\"openai\"")
        .replace("\"always\"", "\"toggle\"");
    let faults = faults(&text);
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert!(faults[0].contains("models[0].audio") && faults[0].contains("openai"));
    assert!(faults[1].contains("models[0].sample_count"));
}

#[test]
fn a_key_is_not_repeated_however_wrong_it_is() {
    for key in ["12345", "\"sk with space\"", "[\"sk\"]", "\"\""] {
        let faults = faults(&GPU_BOX.replace("\"env:CARGO_PKG_NAME\"", key));
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("api_key") && !faults[0].contains("12345"));
        assert!(!faults[0].contains("sk "), "{faults:?}");
    }
}

#[test]
fn a_provider_that_is_off_needs_no_key_and_keeps_its_models() {
    let text = GPU_BOX.replace("env:CARGO_PKG_NAME", "env:NOBODY_SETS_THIS");
    let text = text.replace("concurrency = 4", "concurrency = 4\nenabled = false");
    let config = written(&text).unwrap();
    assert!(!config.providers["gpu-box"].enabled);
    assert!(
        config
            .catalogue
            .find(&ModelId("local/wan-2.2".into()))
            .is_some()
    );
}

#[test]
fn a_section_that_is_no_provider_is_refused() {
    for (text, part) in [
        ("[providers]\nbox = 3", "providers.box: a table"),
        ("[providers.nobody]", "providers.nobody.kind: \"nobody\""),
        (
            "[providers.testcard]\nbase_url = \"http://h/\"",
            "providers.testcard.base_url: there is no such key",
        ),
        ("[providers.\"A b\"]\nkind = \"testcard\"", "lower-case"),
        (
            "[providers.b]\nkind = \"openai-compatible\"\nbase_url = \"h\"\nmodels = 3",
            "providers.b.models: a list",
        ),
    ] {
        let faults = faults(text);
        assert!(
            faults.iter().any(|fault| fault.contains(part)),
            "{faults:?}"
        );
    }
}

#[test]
fn spans_have_a_unit() {
    let span = |text: &str| {
        let text = format!("[providers.testcard]\npoll_every = {text}");
        written(&text)
            .map(|config| config.providers["testcard"].poll_every.unwrap())
            .ok()
    };
    assert_eq!(span("\"200ms\""), Some(Duration::from_millis(200)));
    assert_eq!(span("\"2m\""), Some(Duration::from_secs(120)));
    assert_eq!(span("\"1h\""), Some(Duration::from_secs(3600)));
    for wrong in [
        "\"0s\"",
        "\"s\"",
        "\"5\"",
        "5",
        "\"1.5s\"",
        "\"99999999999999999999h\"",
    ] {
        assert_eq!(span(wrong), None, "{wrong}");
    }
}

/// A key as the emulated project gives it out, in a file that is gone with the directory.
fn key_file(token_uri: &str) -> (tempfile::TempDir, String) {
    let emulator = filmgate_upstreams::google_vertex::Emulator::new(Default::default());
    let mut key = emulator.service_account("http://127.0.0.1:9");
    key["token_uri"] = token_uri.into();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key.json");
    std::fs::write(&file, key.to_string()).unwrap();
    let path = file.display().to_string();
    (directory, path)
}

#[test]
fn a_project_of_googles_is_read_from_its_key() {
    let (_directory, file) = key_file("https://oauth2.googleapis.com/token");
    let section = format!("[providers.google-vertex]\ncredentials = {file:?}\n");
    let config = written(&section).unwrap();
    let ProviderKind::GoogleVertex(project) = &config.providers["google-vertex"].kind else {
        panic!("it is a project")
    };
    assert_eq!(project.site.project, "emulated-project");
    assert_eq!(project.site.location, "us-central1");
    assert!(project.key.expose().contains("BEGIN PRIVATE KEY"));
    let more = "project = \"other\"\nlocation = \"global\"\nstorage_uri = \"gs://films/x/\"";
    let config = written(&format!("{section}{more}")).unwrap();
    let ProviderKind::GoogleVertex(project) = &config.providers["google-vertex"].kind else {
        panic!("it is a project")
    };
    assert_eq!(project.site.project, "other");
    assert_eq!(
        project.site.base().as_str(),
        "https://aiplatform.googleapis.com/"
    );
}

#[test]
fn what_is_wrong_with_a_project_is_told_under_its_key() {
    let (_directory, file) = key_file("https://tokens.example/token");
    let section = "[providers.google-vertex]\n";
    for (rest, key, part) in [
        (
            String::new(),
            "credentials",
            "GOOGLE_APPLICATION_CREDENTIALS",
        ),
        ("credentials = 3".into(), "credentials", "a text is allowed"),
        (
            "credentials = \"/no/such/file\"".into(),
            "credentials",
            "/no/such/file",
        ),
        (
            "credentials = \"env:NOBODY_SETS_THIS\"".into(),
            "credentials",
            "NOBODY_SETS_THIS",
        ),
        (
            "credentials = \"env:CARGO_PKG_NAME\"".into(),
            "credentials",
            "JSON",
        ),
        (
            format!("credentials = {file:?}"),
            "credentials",
            "token_uri",
        ),
        (
            format!(
                "credentials = {file:?}\nbase_url = \"https://tokens.example\"\nstorage_uri = \"films\""
            ),
            "storage_uri",
            "gs://BUCKET/",
        ),
    ] {
        let faults = faults(&format!("{section}{rest}"));
        let key = format!("providers.google-vertex.{key}: ");
        assert_eq!(faults.len(), 1, "{faults:#?}");
        assert!(
            faults[0].starts_with(&key) && faults[0].contains(part),
            "{faults:#?}"
        );
    }
    assert!(written(&format!("{section}enabled = false")).is_ok());
}
