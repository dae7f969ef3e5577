//! Keys: the first one, those made later, what each role may do, and what is left of a revoked one.

use serde_json::{Value, json};

use crate::gate::{Gate, Home, id_of};
use crate::order::Order;
use crate::redact::redacted;
use crate::routes;

const GIVEN: &str = "fg_given_0123456789abcdefghijklmnopqrstuvwxyz_-AB";

#[tokio::test]
async fn the_first_key_can_be_given_by_the_environment() {
    let gate = Home::new().with_first_key(GIVEN).start().await;
    assert_eq!(gate.key, GIVEN, "the gateway printed a key of its own");
    gate.completed(&Order::of("by the given key")).await;
    // On a store that has keys it is ignored, with a warning.
    let other = GIVEN.replace("given", "other");
    let gate = gate
        .stop()
        .await
        .environment("FILMGATE_BOOTSTRAP_KEY", &other)
        .start()
        .await;
    gate.get("/v1/videos").key(GIVEN).send().await.expect(200);
    gate.get("/v1/videos")
        .key(&other)
        .send()
        .await
        .refused(401, "unauthorised");
    assert!(
        gate.home()
            .log()
            .contains("FILMGATE_BOOTSTRAP_KEY is ignored"),
        "{}",
        gate.home().log()
    );
}

#[tokio::test]
async fn a_first_key_that_is_none_stops_the_start_with_a_sentence() {
    let home = Home::new().environment("FILMGATE_BOOTSTRAP_KEY", "fg_Short_secret");
    let done = home
        .run(&["serve", "--listen", "127.0.0.1:0"])
        .await
        .failed();
    assert!(
        done.err.contains("fg_<kid>_<secret>") && !done.err.contains("fg_Short_secret"),
        "{done:?}"
    );
}

#[tokio::test]
async fn a_key_is_shown_once_and_never_again() {
    let gate = Gate::start().await;
    let made = gate
        .post("/v1/keys")
        .json(&json!({"name": "for the studio", "role": "member"}))
        .send()
        .await
        .created();
    let text = made["key"].as_str().unwrap();
    let listed = gate.get("/v1/keys").send().await.expect(200);
    assert!(
        !listed.text().contains(text.rsplit('_').next().unwrap()),
        "{}",
        listed.text()
    );
    assert!(!listed.text().contains(gate.key.rsplit('_').next().unwrap()));
    insta::assert_json_snapshot!("the_keys", redacted(&listed.json()));
    gate.get("/v1/videos").key(text).send().await.expect(200);
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_and_its_jobs_run_on() {
    let gate = Gate::start().await;
    let made = gate
        .post("/v1/keys")
        .json(&json!({"name": "short", "role": "member"}))
        .send()
        .await
        .created();
    let text = made["key"].as_str().unwrap();
    let order = Order::of("outlives its key").simulate(json!({"render_seconds": 0.3}));
    let video = gate
        .post("/v1/videos")
        .key(text)
        .json(order.body())
        .send()
        .await
        .expect(202)
        .json();
    gate.delete(&format!("/v1/keys/{}", made["id"].as_str().unwrap()))
        .send()
        .await
        .expect(200);
    gate.get("/v1/videos")
        .key(text)
        .send()
        .await
        .refused(401, "unauthorised");
    gate.post("/v1/videos")
        .key(text)
        .json(order.body())
        .send()
        .await
        .refused(401, "unauthorised");
    assert_eq!(
        gate.wait_terminal(id_of(&video)).await["status"],
        "completed"
    );
    let gate = gate.restart().await;
    gate.get("/v1/videos")
        .key(text)
        .send()
        .await
        .refused(401, "unauthorised");
    let unknown = format!("/v1/keys/key_{}", "0".repeat(26));
    gate.delete(&unknown).send().await.refused(404, "not_found");
}

#[tokio::test]
async fn what_is_not_a_key_in_force_opens_nothing() {
    let gate = Gate::start().await;
    let kid = gate.key.split('_').nth(1).unwrap();
    let wrong = [
        String::new(),
        "nonsense".to_owned(),
        gate.key.replacen("fg_", "FG_", 1),
        format!("{}x", gate.key),
        gate.key[..gate.key.len() - 1].to_owned(),
        format!("fg_{kid}_{}", "0".repeat(64)),
        format!("fg_{}_{}", "0".repeat(26), "0".repeat(64)),
        "fg_' or 1=1 --_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx".to_owned(),
    ];
    for key in wrong {
        let answer = gate.get("/v1/videos").key(&key).send().await;
        answer.refused(401, "unauthorised");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    gate.get("/v1/videos")
        .header("authorization", &format!("Basic {}", gate.key))
        .send()
        .await
        .refused(401, "unauthorised");
    gate.get(&format!("/v1/videos?key={}", gate.key))
        .anonymous()
        .send()
        .await
        .refused(401, "unauthorised");
    // The scheme's name has no case.
    gate.get("/v1/videos")
        .header("authorization", &format!("bEARER {}", gate.key))
        .send()
        .await
        .expect(200);
}

#[tokio::test]
async fn every_route_that_asks_for_a_key_refuses_without_one() {
    let gate = Gate::start().await;
    let video = gate.create(&Order::of("guarded").endless()).await;
    for route in routes::published(&gate).await {
        let answer = gate
            .call(route.method.clone(), &route.at(id_of(&video)))
            .anonymous()
            .send()
            .await;
        if route.secured {
            answer.refused(401, "unauthorised");
        } else if route.path.ends_with("/content") {
            // A key or a signed link: without either, it is the key that is missed.
            answer.refused(401, "unauthorised");
        } else if route.path.starts_with("/v1/callbacks/") {
            // An address that nobody was given.
            answer.refused(404, "not_found");
        } else if route.path.ends_with("/inputs/{index}") {
            // A signed link alone opens it.
            answer.refused(403, "forbidden");
        } else {
            assert!(
                ["/health", "/ready"].contains(&route.path.as_str()),
                "{route:?} asks for no key"
            );
            answer.expect(200);
        }
    }
}

#[tokio::test]
async fn workspaces_are_worlds_apart() {
    let gate = Gate::start().await;
    let workspace = gate.new_workspace("second").await;
    let stranger = gate.new_key("admin", Some(&workspace)).await;
    let done = gate.completed(&Order::of("private")).await;
    let cancelled = gate.create(&Order::of("private too").endless()).await;
    gate.cancel(id_of(&cancelled)).await;

    let mut walked = 0;
    for route in routes::published(&gate)
        .await
        .iter()
        .filter(|route| route.path.contains("{video_id}"))
        // Whoever has the link may, whichever workspace's key is sent beside it.
        .filter(|route| !route.path.ends_with("/inputs/{index}"))
    {
        for video in [&done, &cancelled] {
            let call = gate
                .call(route.method.clone(), &route.at(id_of(video)))
                .key(&stranger);
            let call = if route.method == reqwest::Method::GET {
                call
            } else {
                call.json(&json!({}))
            };
            let refused = call.send().await.refused(404, "not_found");
            assert_eq!(
                refused["generation_id"],
                Value::Null,
                "{route:?} tells of it"
            );
        }
        walked += 1;
    }
    assert!(walked >= 7, "only {walked} routes name a video");
    let audit = format!(
        "/v1/generations?id={}",
        done["generation_id"].as_str().unwrap()
    );
    gate.get(&audit)
        .key(&stranger)
        .send()
        .await
        .refused(404, "not_found");
    gate.get(&audit).send().await.expect(200);
    for query in ["", "?status=completed", "?model=filmgate/testcard"] {
        let list = gate
            .get(&format!("/v1/videos{query}"))
            .key(&stranger)
            .send()
            .await
            .expect(200)
            .json();
        assert_eq!(list["data"], json!([]), "{query}");
    }
    let after = format!("/v1/videos?after={}", id_of(&done));
    gate.get(&after)
        .key(&stranger)
        .send()
        .await
        .refused_field("validation_error", "after");
    // Nothing of that has changed anything.
    assert_eq!(gate.status(id_of(&done)).await, done);
    assert_eq!(gate.status(id_of(&cancelled)).await["status"], "cancelled");

    let theirs = gate
        .post("/v1/videos")
        .key(&stranger)
        .json(Order::of("theirs").body())
        .send()
        .await
        .expect(202)
        .json();
    gate.get(&format!("/v1/videos/{}", id_of(&theirs)))
        .send()
        .await
        .refused(404, "not_found");
}

#[tokio::test]
async fn a_key_that_cannot_be_made_is_refused_by_the_field_at_fault() {
    let gate = Gate::start().await;
    let unknown = format!("ws_{}", "0".repeat(26));
    for (body, field) in [
        (json!({"name": "x", "role": "king"}), "role"),
        (json!({"role": "member"}), "name"),
        (json!({"name": "", "role": "member"}), "name"),
        (
            json!({"name": "x", "role": "member", "workspace_id": unknown}),
            "workspace_id",
        ),
        (
            json!({"name": "x", "role": "member", "banana": 1}),
            "banana",
        ),
    ] {
        gate.post("/v1/keys")
            .json(&body)
            .send()
            .await
            .refused_field("validation_error", field);
    }
    assert_eq!(
        gate.get("/v1/keys").send().await.expect(200).json()["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    gate.new_workspace("taken").await;
    gate.post("/v1/workspaces")
        .json(&json!({"name": "taken"}))
        .send()
        .await
        .refused_field("validation_error", "name");
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked_from_the_command_line() {
    let gate = Gate::start().await;
    let made = gate
        .run(&["keys", "create", "a script's", "--role", "read"])
        .await
        .succeeded();
    let text = made.out.trim();
    gate.get("/v1/videos").key(text).send().await.expect(200);
    let listed = gate
        .run(&["--json", "keys", "list"])
        .await
        .succeeded()
        .json();
    let key = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["name"] == "a script's")
        .unwrap();
    assert_eq!(
        (&key["role"], &key["revoked_at"]),
        (&json!("read"), &Value::Null)
    );
    let id = key["id"].as_str().unwrap();
    gate.run(&["keys", "revoke", id]).await.succeeded();
    gate.get("/v1/videos")
        .key(text)
        .send()
        .await
        .refused(401, "unauthorised");
    let listed = gate.run(&["keys", "list"]).await.succeeded().out;
    let line = listed.lines().find(|line| line.contains(id)).unwrap();
    assert!(line.contains("revoked"), "{line}");
    let refused = gate
        .run(&["keys", "create", "x", "--role", "king"])
        .await
        .failed();
    assert!(refused.err.contains("role"), "{refused:?}");
}

#[tokio::test]
async fn neither_keys_nor_prompts_nor_links_are_written_to_the_log() {
    let gate = Home::new().environment("RUST_LOG", "debug").start().await;
    let member = gate.new_key("member", None).await;
    let order = Order::of("a-prompt-that-nobody-else-reads");
    let made = gate
        .post("/v1/videos")
        .key(&member)
        .json(order.body())
        .send()
        .await
        .expect(202)
        .json();
    let done = gate.wait_terminal(id_of(&made)).await;
    let link = done["download_url"].as_str().unwrap();
    gate.get(link).anonymous().send().await.expect(200);
    let home = gate.stop().await;
    let log = home.log();
    assert!(
        log.contains(id_of(&made)),
        "this is not the log of what happened: {log}"
    );
    let signature = link
        .split_once("download_sig=")
        .unwrap()
        .1
        .split('&')
        .next()
        .unwrap();
    let master = std::fs::read_to_string(home.data().join("master.key")).unwrap();
    let secret = member.rsplit('_').next().unwrap();
    for (what, text) in [
        ("the prompt", "nobody-else"),
        ("a signature", signature),
        ("a key", secret),
        ("the master key", master.trim()),
    ] {
        assert!(!log.contains(text), "{what} is in the log");
    }
}

#[tokio::test]
async fn a_rotated_key_has_a_new_secret_and_everything_else_as_before() {
    let gate = Gate::start().await;
    let terms = json!({"name": "rotated", "limit": "1", "max_in_flight": 2});
    let made = gate.post("/v1/keys").json(&terms).send().await.created();
    let old = made["key"].as_str().unwrap();
    let create = gate.post("/v1/videos").key(old);
    let order = Order::of("goes on").endless();
    let video = create.json(order.body()).send().await.expect(202).json();
    let rotate = format!("/v1/keys/{}/rotate", id_of(&made));
    let rotated = gate
        .post(&rotate)
        .json(&json!({"overlap_seconds": 3600}))
        .send()
        .await
        .expect(200)
        .json();
    let new = rotated["key"].as_str().unwrap();
    assert_ne!(old, new);
    assert_eq!(
        (
            &rotated["id"],
            &rotated["kid"],
            &rotated["limit"],
            &rotated["in_flight"]
        ),
        (&made["id"], &made["kid"], &json!("1.00"), &json!(1))
    );
    assert!(rotated["previous_secret_expires_at"].is_i64());
    for text in [old, new] {
        gate.get("/v1/key").key(text).send().await.expect(200);
    }
    // Without a word about an overlap, the old one ends at once.
    let last = gate.post(&rotate).send().await.expect(200).json();
    assert_eq!(last["previous_secret_expires_at"], Value::Null);
    for text in [old, new] {
        gate.get("/v1/key")
            .key(text)
            .send()
            .await
            .refused(401, "unauthorised");
    }
    let text = last["key"].as_str().unwrap();
    let seen = gate.get(&format!("/v1/videos/{}", id_of(&video))).key(text);
    assert_eq!(seen.send().await.expect(200).json()["id"], video["id"]);
    for overlap in [json!(-1), json!(2_592_001), json!("soon"), json!(0.5)] {
        let body = json!({"overlap_seconds": overlap});
        let refused = gate.post(&rotate).json(&body).send().await;
        refused.refused_field("validation_error", "overlap_seconds");
    }
    gate.get("/v1/key").key(text).send().await.expect(200);
    let path = format!("/v1/keys/{}", id_of(&made));
    gate.delete(&path).send().await.expect(200);
    let refused = gate
        .post(&rotate)
        .send()
        .await
        .refused(400, "validation_error");
    assert_eq!(refused["reason"], "key_revoked");
}

#[tokio::test]
async fn what_operators_do_stands_in_their_log_and_no_secret_does() {
    let gate = Gate::start().await;
    let workspace = gate.new_workspace("audited").await;
    let body = json!({"name": "audited", "workspace_id": workspace, "limit": "2.5"});
    let made = gate
        .post("/v1/keys")
        .header("x-request-id", "ticket-12")
        .json(&body)
        .send()
        .await
        .created();
    let path = format!("/v1/keys/{}", id_of(&made));
    let patch = gate.call(reqwest::Method::PATCH, &path);
    patch
        .json(&json!({"limit": null, "disabled": true}))
        .send()
        .await
        .expect(200);
    let rotated = gate
        .post(&format!("{path}/rotate"))
        .send()
        .await
        .expect(200)
        .json();
    gate.delete(&path).send().await.expect(200);
    gate.delete(&path).send().await.expect(200);
    // What is refused, changes nothing or is only looked at leaves no line.
    let nothing = gate.call(
        reqwest::Method::PATCH,
        &format!(
            "/v1/keys/{}",
            id_of(&gate.get("/v1/key").send().await.expect(200).json())
        ),
    );
    nothing.json(&json!({})).send().await.expect(200);
    gate.post("/v1/keys")
        .json(&json!({"name": ""}))
        .send()
        .await
        .refused(400, "validation_error");
    gate.get(&path).send().await.expect(200);
    let path = format!("/v1/admin/actions?workspace_id={workspace}");
    let log = gate.get(&path).send().await.expect(200);
    for secret in [&made["key"], &rotated["key"]] {
        let secret = secret.as_str().unwrap().rsplit('_').next().unwrap();
        assert!(!log.text().contains(secret));
    }
    let log = log.json();
    let told: Vec<_> = log["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["action"].as_str().unwrap(), &line["object_id"]))
        .collect();
    let key = &made["id"];
    assert_eq!(
        told,
        [
            ("key.revoked", key),
            ("key.rotated", key),
            ("key.updated", key),
            ("key.created", key),
            ("workspace.created", &json!(workspace)),
        ]
    );
    let me = gate.get("/v1/key").send().await.expect(200).json();
    let created = &log["data"][3];
    assert_eq!(
        (
            &created["key_id"],
            &created["request_id"],
            &created["detail"]["limit"]
        ),
        (&me["id"], &json!("ticket-12"), &json!("2.50"))
    );
    assert_eq!(
        log["data"][2]["detail"],
        json!({"limit": null, "disabled": true}),
        "what was changed and nothing else"
    );
    // Page by page it is the same, and the first start stands at its beginning.
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(String::new(), |last: &Value| {
            format!("&after={}", id_of(last))
        });
        let page = gate
            .get(&format!("/v1/admin/actions?limit=2{after}"))
            .send()
            .await;
        let page = page.expect(200).json();
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        if page["has_more"] == false {
            break;
        }
    }
    assert_eq!(all.len(), 7);
    assert_eq!(all[..5], log["data"].as_array().unwrap()[..]);
    assert_eq!(
        (&all[5]["action"], &all[5]["key_id"]),
        (&json!("key.created"), &Value::Null)
    );
}
