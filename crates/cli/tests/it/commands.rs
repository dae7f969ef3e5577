//! The command line: on a gateway of its own, and as a client of a running one.

use std::path::Path;

use serde_json::{Value, json};

use crate::gate::{Done, Gate, Home, files_below, id_of, sha256};
use crate::order::{Order, picture};
use crate::redact::redacted_text;
use crate::{routes, status_object};

const SMALL: [&str; 4] = ["--seconds", "1", "--size", "320x180"];

fn generate<'a>(prompt: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["generate", prompt], &SMALL[..], more].concat()
}

fn file(path: &Path) -> String {
    sha256(&std::fs::read(path).unwrap())
}

/// What people read, without what differs from run to run.
fn told(done: &Done) -> String {
    let bytes = |line: &str| match line.split_once(" bytes") {
        Some((before, after)) => format!(
            "{} [n] bytes{after}",
            before
                .trim_end_matches(|letter: char| letter.is_ascii_digit())
                .trim_end()
        ),
        None => line.to_owned(),
    };
    redacted_text(&done.out)
        .lines()
        .map(bytes)
        .collect::<Vec<_>>()
        .join("\n")
}

// On a gateway of its own.

#[tokio::test]
async fn generate_makes_a_video_and_saves_it_without_any_preparation() {
    let home = Home::new();
    let done = home
        .run(&generate("a paper boat in the rain", &[]))
        .await
        .succeeded();
    let saved: Vec<String> = files_below(home.path())
        .into_iter()
        .filter(|file| file.ends_with(".mp4"))
        .collect();
    let [video] = saved.as_slice() else {
        panic!("{saved:?}")
    };
    assert!(
        done.out.contains(&format!("file    {video}")),
        "{}",
        done.out
    );
    assert!(
        done.out.contains(&file(&home.path().join(video))),
        "{}",
        done.out
    );
    insta::assert_snapshot!("generate", told(&done).replace(video, "[file]"));

    // What it made is there for the next command.
    let id = video.strip_suffix(".mp4").unwrap();
    let status = home.run(&["--json", "status", id]).await.succeeded().json();
    assert_eq!(status_object::whole(status)["status"], "completed");
    let list = home.run(&["list"]).await.succeeded();
    assert!(
        list.out.starts_with(id) && list.out.contains("completed") && list.out.contains("0.01"),
        "{}",
        list.out
    );
    home.doctor().await.is_closed_and_balanced();
}

#[tokio::test]
async fn generate_saves_each_sample_where_it_is_told_to() {
    let home = Home::new();
    std::fs::write(home.path().join("first.png"), picture(60)).unwrap();
    let more = [
        "--out",
        "boats.mp4",
        "--samples",
        "2",
        "--audio",
        "--image",
        "first.png",
        "--seed",
        "5",
    ];
    let done = home
        .run(&[&["--json"], &generate("boats", &more)[..]].concat())
        .await
        .succeeded();
    let mut video = done.json();
    let files = video.as_object_mut().unwrap().remove("files").unwrap();
    assert_eq!(files, json!(["boats.mp4", "boats-2.mp4"]));
    let video = status_object::whole(video);
    assert_eq!(
        (&video["audio"], video["outputs"].as_array().unwrap().len()),
        (&json!(true), 2)
    );
    for (name, output) in ["boats.mp4", "boats-2.mp4"]
        .iter()
        .zip(video["outputs"].as_array().unwrap())
    {
        assert_eq!(
            file(&home.path().join(name)),
            output["sha256"].as_str().unwrap()
        );
    }
    assert!(
        !files_below(home.path())
            .iter()
            .any(|file| file.ends_with(".part"))
    );
}

#[tokio::test]
async fn generate_says_why_it_could_not() {
    let home = Home::new();
    let refused = home
        .run(&["generate", "too long", "--seconds", "99"])
        .await
        .failed();
    assert!(
        refused.err.contains("duration") && refused.err.contains("1 to 20"),
        "{refused:?}"
    );
    let envelope = home
        .run(&["--json", "generate", "too long", "--seconds", "99"])
        .await
        .failed()
        .json();
    assert_eq!(
        (&envelope["error"], &envelope["details"][0]["path"]),
        (&json!("validation_error"), &json!("duration"))
    );
    let nowhere = home
        .run(&generate("nowhere", &["--out", "not/there.mp4"]))
        .await
        .failed();
    assert!(nowhere.err.contains("--out"), "{nowhere:?}");
    assert_eq!(
        home.doctor().await.jobs,
        0,
        "nothing is made before it is known where it goes"
    );

    let params = r#"{"simulate":{"fail":"content_moderated"}}"#;
    let failed = home
        .run(&generate(
            "refused by the provider",
            &["--provider-params", params],
        ))
        .await
        .failed();
    assert!(
        failed.out.contains("content_moderated") && failed.out.contains("hint"),
        "{failed:?}"
    );
    assert!(
        !files_below(home.path())
            .iter()
            .any(|file| file.ends_with(".mp4"))
    );
}

#[tokio::test]
async fn quote_and_models_need_nothing() {
    let home = Home::new();
    let quote = home
        .run(&["quote", "a boat", "--seconds", "5", "--samples", "2"])
        .await
        .succeeded();
    assert!(
        quote.out.contains("0.1 USD") || quote.out.contains("0.10 USD"),
        "{}",
        quote.out
    );
    let quote = home
        .run(&["--json", "quote", "a boat", "--seconds", "5"])
        .await
        .succeeded()
        .json();
    assert_eq!(quote["quote_nanos"], 50_000_000);
    let models = home.run(&["models"]).await.succeeded();
    let told = |id: &str| {
        let line = models.out.lines().find(|line| line.starts_with(id));
        line.unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        told("filmgate/testcard"),
        "filmgate/testcard active testcard"
    );
    assert_eq!(
        told("runway/gen-4.5"),
        "runway/gen-4.5 active runway (not configured)"
    );
    assert_eq!(told("openai/sora-2 "), "openai/sora-2 retired");
    assert_eq!(home.doctor().await.jobs, 0);
}

// As a client of a running gateway.

#[tokio::test]
async fn every_command_about_a_video_speaks_to_the_gateway_it_is_pointed_at() {
    let gate = Gate::start().await;
    let made = gate
        .run(
            &[
                &["--json"],
                &generate("by command", &["--out", "x.mp4"])[..],
            ]
            .concat(),
        )
        .await
        .succeeded()
        .json();
    let id = id_of(&made);
    assert_eq!(gate.status(id).await["status"], "completed");

    let status = gate.run(&["status", id]).await.succeeded();
    insta::assert_snapshot!("status", told(&status));
    let watched = gate.run(&["--json", "watch", id]).await.succeeded().json();
    assert_eq!(watched, gate.status(id).await);
    let downloaded = gate
        .run(&["download", id, "--out", "again.mp4"])
        .await
        .succeeded();
    assert_eq!(downloaded.out.trim(), "again.mp4");
    assert_eq!(
        file(&gate.home().path().join("again.mp4")),
        made["asset"]["sha256"].as_str().unwrap()
    );
    let listed = gate
        .run(&["--json", "list", "--status", "completed", "--limit", "1"])
        .await
        .succeeded()
        .json();
    assert_eq!(listed["data"][0]["id"], *id);

    let endless = gate.create(&Order::of("endless").endless()).await;
    let cancelled = gate.run(&["cancel", id_of(&endless)]).await.succeeded();
    assert!(cancelled.out.contains("cancelled"), "{}", cancelled.out);
    let again = gate.run(&["cancel", id]).await.failed();
    assert!(again.err.contains("completed"), "{again:?}");
    let early = gate.run(&["download", id_of(&endless)]).await.failed();
    assert!(early.err.contains("cancelled"), "{early:?}");

    let deleted = gate.run(&["delete", id]).await.succeeded();
    assert!(deleted.out.contains("is deleted"), "{}", deleted.out);
    gate.run(&["status", id]).await.failed();
    let envelope = gate.run(&["--json", "status", id]).await.failed().json();
    assert_eq!(envelope["reason"], "video_deleted");
    let nonsense = gate.run(&["status", "../keys"]).await.failed();
    assert!(nonsense.err.contains("not a video's id"), "{nonsense:?}");
}

#[tokio::test]
async fn watch_follows_a_video_to_its_end() {
    let gate = Gate::start().await;
    let made = gate
        .create(&Order::of("followed").simulate(json!({"render_seconds": 0.5})))
        .await;
    let watched = gate.run(&["watch", id_of(&made)]).await.succeeded();
    assert!(
        watched.out.contains("status    completed 100%"),
        "{watched:?}"
    );
    assert!(
        watched.err.contains("completed"),
        "a person at no terminal reads plain lines: {watched:?}"
    );
}

#[tokio::test]
async fn retry_makes_a_new_video_and_follows_it() {
    let gate = Gate::start().await;
    let order = Order::of("tried again").simulate(json!({"fail": "provider_error"}));
    let failed = gate.run_to_end(&order).await;
    let again = gate
        .run(&["--json", "retry", id_of(&failed)])
        .await
        .succeeded()
        .json();
    assert_eq!(
        (&again["retried_from"], &again["status"]),
        (&failed["id"], &json!("failed"))
    );
    assert_ne!(again["id"], failed["id"]);
}

#[tokio::test]
async fn a_data_directory_in_use_says_how_to_reach_the_gateway_that_has_it() {
    let gate = Gate::start().await;
    for arguments in [
        &["list"][..],
        &["serve", "--listen", "127.0.0.1:0"],
        &["generate", "a boat"],
    ] {
        let refused = gate.home().run(arguments).await.failed();
        let expected = format!("FILMGATE_URL={}", gate.address);
        assert!(
            refused.err.contains(&expected) && refused.err.contains("FILMGATE_KEY"),
            "{refused:?}"
        );
    }
    let doctor = gate.home().run(&["doctor"]).await;
    assert!(doctor.out.contains("is in use"), "{doctor:?}");
    // Half of what is needed is told apart from nothing.
    let mut half = gate.home().command(&["list"]);
    half.env("FILMGATE_URL", &gate.address);
    let half = half.output().await.unwrap();
    assert!(
        String::from_utf8_lossy(&half.stderr).contains("FILMGATE_KEY is not"),
        "{half:?}"
    );
    let wrong = gate
        .home()
        .command(&["list"])
        .env("FILMGATE_URL", &gate.address)
        .env("FILMGATE_KEY", "fg_no_key")
        .output()
        .await
        .unwrap();
    assert!(
        String::from_utf8_lossy(&wrong.stderr).contains("unauthorised"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn what_commands_made_alone_is_served_afterwards_with_a_first_key() {
    let home = Home::new();
    let made = home
        .run(&[&["--json"], &generate("made alone", &[])[..]].concat())
        .await
        .succeeded()
        .json();
    let gate = home.start().await;
    assert_eq!(
        gate.status(id_of(&made)).await["asset"]["sha256"],
        made["asset"]["sha256"]
    );
}

// Configuration and checks.

#[tokio::test]
async fn config_check_tells_every_fault_at_once() {
    let home = Home::new();
    let sound = home.run(&["config", "check"]).await.succeeded();
    assert!(sound.out.contains("sound"), "{sound:?}");
    let faulty = Home::new()
        .configured("[server]\nlistne = \"x\"\n[engine]\nworkers = \"many\"\n[banana]\nx = 1\n[store]\nurl = \"mysql:x\"")
        .environment("FILMGATE_BILLING__MODE", "barter");
    for done in [
        faulty.run(&["config", "check"]).await,
        faulty.run(&["serve"]).await,
        faulty.run(&["list"]).await,
    ] {
        let done = done.failed();
        for fault in ["listne", "engine.workers", "banana", "mysql:x", "barter"] {
            assert!(done.err.contains(fault), "{fault} is not told: {done:?}");
        }
    }
    let report = faulty
        .run(&["--json", "config", "check"])
        .await
        .failed()
        .json();
    assert_eq!(report["sound"], false);
    assert_eq!(report["faults"].as_array().unwrap().len(), 5, "{report:#}");
    let missing = home
        .run(&["--config", "nowhere.toml", "config", "check"])
        .await
        .failed();
    assert!(missing.err.contains("nowhere.toml"), "{missing:?}");
}

#[tokio::test]
async fn the_environment_goes_before_the_file_and_an_argument_before_both() {
    let home = Home::new()
        .configured("[server]\nlisten = \"127.0.0.1:1\"\n[billing]\nmarkup_basis_points = 1000")
        .environment("FILMGATE_BILLING__MARKUP_BASIS_POINTS", "2000");
    let gate = home.start().await;
    assert!(!gate.address.ends_with(":1"));
    let quote = gate
        .post("/v1/videos/quote")
        .json(Order::of("how much?").body())
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(quote["quote_nanos"], 12_000_000);
}

#[tokio::test]
async fn doctor_finds_a_sound_gateway_sound_and_another_masters_key_not() {
    let home = Gate::start().await.stop().await;
    let sound = home.run(&["doctor"]).await.succeeded();
    assert!(
        !sound.out.contains("WRONG") && sound.out.contains("rows of activity wrong"),
        "{sound:?}"
    );
    let stranger = home.environment("FILMGATE_SECURITY__MASTER_KEY", &"ab".repeat(32));
    let report = stranger.run(&["--json", "doctor"]).await.failed().json();
    assert_eq!(report["sound"], false, "{report:#}");
    assert!(report.to_string().contains("master key"), "{report:#}");
    let refused = stranger
        .run(&["serve", "--listen", "127.0.0.1:0"])
        .await
        .failed();
    assert!(refused.err.contains("master key"), "{refused:?}");
}

#[tokio::test]
async fn a_database_that_is_none_of_ours_stops_the_start_with_a_sentence() {
    let home = Gate::start().await.stop().await;
    for file in ["filmgate.db-wal", "filmgate.db-shm"] {
        std::fs::remove_file(home.data().join(file)).ok();
    }
    let garbage: Vec<u8> = (0..8192u32)
        .map(|number| (number * 7 % 251) as u8)
        .collect();
    std::fs::write(home.data().join("filmgate.db"), &garbage).unwrap();
    let refused = home
        .run(&["serve", "--listen", "127.0.0.1:0"])
        .await
        .failed();
    assert!(refused.err.contains("job store"), "{refused:?}");
    let report = home.run(&["--json", "doctor"]).await.failed().json();
    assert_eq!(report["sound"], false, "{report:#}");
    let kept = std::fs::read(home.data().join("filmgate.db")).unwrap();
    assert!(kept == garbage, "what is not ours was written to");
}

#[tokio::test]
async fn serve_refuses_an_address_that_is_taken() {
    let gate = Gate::start().await;
    let taken = gate.address.strip_prefix("http://").unwrap();
    let other = Home::new();
    let refused = other.run(&["serve", "--listen", taken]).await.failed();
    assert!(
        refused.err.contains(taken) && refused.err.contains("listen"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn serve_tells_a_person_where_it_is_and_what_to_try() {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let home = Home::new();
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut process = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut told = String::new();
    while !told.contains("curl") {
        told.push_str(
            &lines
                .next_line()
                .await
                .unwrap()
                .expect("there is more to tell"),
        );
        told.push('\n');
    }
    process.kill().await.unwrap();
    let key = told
        .split("shown this once: ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    assert!(
        told.matches(key).count() == 2,
        "the line to paste has the key: {told}"
    );
    insta::assert_snapshot!("serve", redacted_text(&told.replace(key, "[secret]")));
}

#[tokio::test]
async fn each_event_of_a_life_is_a_line_of_the_log() {
    let gate = Gate::start().await;
    let done = gate.completed(&Order::of("logged")).await;
    let cancelled = gate.create(&Order::of("logged too").endless()).await;
    gate.cancel(id_of(&cancelled)).await;
    let home = gate.stop().await;
    for event in [
        format!("video {} is admitted", id_of(&done)),
        format!("video {} is completed", id_of(&done)),
        format!("video {} is cancelled", id_of(&cancelled)),
    ] {
        assert_eq!(
            home.log().matches(&event).count(),
            1,
            "{event}:\n{}",
            home.log()
        );
    }
}

#[tokio::test]
async fn the_catalogue_is_sound() {
    let done = Home::new().run(&["catalogue", "check"]).await.succeeded();
    assert!(done.out.contains("is sound"), "{done:?}");
}

#[tokio::test]
async fn what_an_operator_changes_about_the_catalogue_is_checked_and_every_fault_told() {
    let home = Home::new();
    let file = home.path().join("changed.toml");
    let file_name = file.to_str().unwrap();
    let text = "[providers.testcard]\n[[providers.testcard.models]]\nid = \"filmgate/testcard\"\n";
    std::fs::write(
        &file,
        format!("{text}price = {{ output_second = \"0.02\" }}\n"),
    )
    .unwrap();
    let done = home.run(&["catalogue", "check", file_name]).await;
    let done = done.succeeded();
    assert!(done.out.contains("changed.toml is sound"), "{done:?}");
    std::fs::write(
        &file,
        format!("{text}price = 3\nretires_on = \"soon\"\ncolour = 1\n"),
    )
    .unwrap();
    let done = home.run(&["catalogue", "check", file_name]).await;
    assert!(!done.out.contains("changed.toml is sound"), "{done:?}");
    for key in ["price", "retires_on", "colour"] {
        let place = format!("providers.testcard.models[0].{key}");
        assert!(done.out.contains(&place), "{place} in {done:?}");
    }
}

#[tokio::test]
async fn the_contract_that_is_committed_printed_and_served_is_one() {
    let gate = Gate::start().await;
    let printed = gate.home().run(&["openapi"]).await.succeeded().out;
    let document: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(routes::openapi(&gate).await, document);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let committed =
        std::fs::read_to_string(committed).expect("write it: cargo run -- openapi > openapi.json");
    assert!(
        committed == printed,
        "openapi.json is stale: cargo run -- openapi > openapi.json"
    );
}

#[tokio::test]
async fn the_documents_are_open_and_complete() {
    let gate = Gate::start().await;
    let brief = gate.get("/llms.txt").anonymous().send().await.expect(200);
    for word in ["/v1/videos", "filmgate/testcard", "Authorization"] {
        assert!(
            brief.text().contains(word),
            "llms.txt does not tell of {word}"
        );
    }
    gate.get("/docs/").anonymous().send().await.expect(200);
    for (path, word) in [("/health", "ok"), ("/ready", "ok")] {
        assert_eq!(
            gate.get(path).anonymous().send().await.expect(200).json()["status"],
            word
        );
    }
}
