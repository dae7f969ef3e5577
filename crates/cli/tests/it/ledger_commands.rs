//! The commands about keys, workspaces, funds and usage: each shows what the API says, to the nano-dollar.

use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode};
use reqwest::Method;
use serde_json::{Value, json};

use crate::gate::{Done, Gate, Home, id_of};
use crate::order::Order;

/// What the built-in model costs for a second.
const SECOND: i64 = 10_000_000;
/// The first instant of 2099-01-01.
const IN_2099: i64 = 4_070_908_800;

async fn api(gate: &Gate, path: &str) -> Value {
    gate.get(path).send().await.expect(200).json()
}

/// The one key of this name.
async fn key_named(gate: &Gate, name: &str) -> Value {
    let keys = api(gate, "/v1/keys").await;
    let mut named = keys["data"].as_array().unwrap().iter();
    let key = named.find(|key| key["name"] == name);
    key.unwrap_or_else(|| panic!("no key is called {name}: {keys:#}"))
        .clone()
}

/// The line that tells of `what`.
#[track_caller]
fn line<'a>(done: &'a Done, what: &str) -> &'a str {
    let line = done.out.lines().find(|line| line.contains(what));
    line.unwrap_or_else(|| panic!("{what} is not told of: {done:?}"))
}

/// It says no, by the name of what is wrong.
#[track_caller]
fn names(done: Done, field: &str) {
    let done = done.failed();
    assert!(done.err.contains(field) && done.out.is_empty(), "{done:?}");
}

// Keys.

#[tokio::test]
async fn a_key_is_made_with_all_its_terms() {
    let gate = Gate::start().await;
    let workspace = gate.new_workspace("studio").await;
    let mut arguments = vec!["keys", "create", "bound", "--workspace", &workspace];
    arguments.extend(["--role", "read", "--limit", "25.000000001"]);
    arguments.extend(["--limit-reset", "weekly", "--expires-at", "2099-01-01"]);
    arguments.extend(["--max-in-flight", "5"]);
    let made = gate.run(&arguments).await.succeeded();
    let text = made.out.strip_suffix('\n').unwrap();
    let own = gate.get("/v1/key").key(text).send().await.expect(200);
    let own = own.json();
    assert_eq!(own, key_named(&gate, "bound").await);
    assert_eq!(
        (&own["role"], &own["workspace_id"], &own["limit_nanos"]),
        (
            &json!("read"),
            &json!(workspace),
            &json!(25_000_000_001_i64)
        )
    );
    assert_eq!(
        (
            &own["limit_reset"],
            &own["expires_at"],
            &own["max_in_flight"]
        ),
        (&json!("weekly"), &json!(IN_2099), &json!(5))
    );
    let plain = gate.run(&[
        "--json",
        "keys",
        "create",
        "plain",
        "--expires-at",
        "4070908800",
    ]);
    let plain = plain.await.succeeded().json();
    assert_eq!(
        (&plain["role"], &plain["limit"], &plain["expires_at"]),
        (&json!("member"), &Value::Null, &json!(IN_2099))
    );
    assert!(plain["key"].as_str().unwrap().starts_with("fg_"));
}

#[tokio::test]
async fn a_key_that_cannot_be_made_is_refused_by_what_is_wrong() {
    let gate = Gate::start().await;
    let nowhere = format!("ws_{}", "0".repeat(26));
    for (more, field) in [
        (&["--role", "king"][..], "role"),
        (&["--workspace", &nowhere], "workspace_id"),
        (&["--limit", "much"], "limit"),
        (&["--limit", "1", "--limit-reset", "hourly"], "limit_reset"),
        (&["--limit-reset", "daily"], "limit_reset"),
        (&["--expires-at", "tomorrow"], "--expires-at"),
        (&["--expires-at", "2001-01-01"], "expires_at"),
        (&["--max-in-flight", "0"], "max_in_flight"),
    ] {
        let arguments = [&["keys", "create", "never"][..], more].concat();
        names(gate.run(&arguments).await, field);
    }
    let keys = api(&gate, "/v1/keys").await;
    assert_eq!(keys["data"].as_array().unwrap().len(), 1, "{keys:#}");
}

#[tokio::test]
async fn keys_are_listed_and_shown_with_what_they_have_used() {
    let gate = Gate::start().await;
    let workspace = gate.new_workspace("studio").await;
    let text = gate
        .run(&[
            "keys",
            "create",
            "busy",
            "--limit",
            "0.25",
            "--max-in-flight",
            "2",
        ])
        .await
        .succeeded()
        .out;
    let order = |prompt: &str| {
        let order = Order::of(prompt).endless();
        gate.post("/v1/videos").key(text.trim()).json(order.body())
    };
    order("held for").send().await.expect(202);
    gate.run(&["keys", "create", "elsewhere", "--workspace", &workspace])
        .await
        .succeeded();
    let busy = key_named(&gate, "busy").await;
    let id = id_of(&busy);
    assert_eq!(busy["held_nanos"], SECOND);

    let listed = gate.run(&["keys", "list"]).await.succeeded();
    let told = line(&listed, id);
    for part in [
        "member",
        "in force",
        "0.01 of 0.25 USD",
        "1 of 2 in flight",
        "busy",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let theirs = gate.run(&["keys", "list", "--workspace", &workspace]).await;
    let theirs = theirs.succeeded();
    assert_eq!(theirs.out.lines().count(), 1, "{theirs:?}");
    assert!(
        line(&theirs, "elsewhere").contains("0.00 USD"),
        "{theirs:?}"
    );

    let shown = gate.run(&["--json", "keys", "show", id]).await.succeeded();
    assert_eq!(shown.json(), busy);
    let shown = gate.run(&["keys", "show", id]).await.succeeded();
    for (name, value) in [
        ("used", "0.01 of 0.25 USD"),
        ("held", "0.01 USD"),
        ("captured", "0.00 USD"),
        ("resets", "never"),
        ("expires", "never"),
        ("in flight", "1 of 2"),
    ] {
        assert!(
            line(&shown, name).ends_with(&format!("  {value}")),
            "{name}: {shown:?}"
        );
    }

    names(
        gate.run(&["keys", "list", "--workspace", "studio"]).await,
        "workspace_id",
    );
    names(gate.run(&["keys", "show", "busy"]).await, "not a key's id");
    let nobody = format!("key_{}", "0".repeat(26));
    names(gate.run(&["keys", "show", &nobody]).await, "no such key");
}

#[tokio::test]
async fn a_change_of_a_key_touches_what_it_names() {
    let gate = Gate::start().await;
    let mut arguments = vec!["keys", "create", "changing", "--limit", "1"];
    arguments.extend(["--limit-reset", "daily", "--max-in-flight", "3"]);
    let text = gate.run(&arguments).await.succeeded().out;
    let opens = || gate.get("/v1/key").key(text.trim()).send();
    let before = key_named(&gate, "changing").await;
    let id = id_of(&before).to_owned();
    let update = async |more: &[&str]| {
        let arguments = [&["--json", "keys", "update", &id][..], more].concat();
        gate.run(&arguments).await.succeeded().json()
    };

    let disabled = update(&["--disable"]).await;
    assert_eq!(disabled["disabled"], true);
    let refused = opens().await.refused(401, "unauthorised");
    assert_eq!(refused["reason"], "key_disabled");
    let listed = gate.run(&["keys", "list"]).await.succeeded();
    assert!(line(&listed, &id).contains("disabled"), "{listed:?}");
    assert_eq!(update(&["--enable"]).await, before);

    let changed = update(&["--name", "changed", "--role", "read", "--limit", "2.5"]).await;
    assert_eq!(
        (&changed["name"], &changed["role"], &changed["limit_nanos"]),
        (&json!("changed"), &json!("read"), &json!(2_500_000_000_i64))
    );
    assert_eq!(
        (&changed["limit_reset"], &changed["max_in_flight"]),
        (&json!("daily"), &json!(3))
    );
    let ends = update(&["--expires-at", "2099-01-01", "--limit-reset", "monthly"]).await;
    assert_eq!(
        (&ends["expires_at"], &ends["limit_reset"]),
        (&json!(IN_2099), &json!("monthly"))
    );
    let fields = ["expires_at", "limit_reset", "max_in_flight", "limit"];
    let freed = update(&[
        "--expires-at",
        "none",
        "--limit-reset",
        "none",
        "--max-in-flight",
        "none",
    ])
    .await;
    assert!(
        fields[..3].iter().all(|field| freed[field].is_null()),
        "{freed:#}"
    );
    assert_eq!(freed["limit_nanos"], 2_500_000_000_i64);
    let freed = update(&["--limit", "none"]).await;
    assert!(
        fields.iter().all(|field| freed[field].is_null()),
        "{freed:#}"
    );

    for (more, field) in [
        (&["--role", "king"][..], "role"),
        (&["--limit-reset", "daily"], "limit_reset"),
        (&["--max-in-flight", "many"], "--max-in-flight"),
        (&["--expires-at", "soon"], "--expires-at"),
        (&[], "nothing to change"),
    ] {
        let arguments = [&["keys", "update", &id][..], more].concat();
        names(gate.run(&arguments).await, field);
    }
    assert_eq!(
        key_named(&gate, "changed").await,
        freed,
        "a refused change changes nothing"
    );
    let shown = gate.run(&["keys", "update", &id, "--name", "shown"]).await;
    assert!(line(&shown.succeeded(), "name").ends_with("  shown"));
}

#[tokio::test]
async fn a_rotated_key_opens_by_its_new_text_and_by_the_old_one_as_long_as_was_said() {
    let gate = Gate::start().await;
    let first = gate
        .run(&["keys", "create", "turning"])
        .await
        .succeeded()
        .out;
    let id = key_named(&gate, "turning").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let opens = async |text: &str| gate.get("/v1/key").key(text.trim()).send().await.status;

    let second = gate.run(&["keys", "rotate", &id]).await.succeeded();
    assert_eq!(
        second.out.lines().count(),
        1,
        "the text stands alone: {second:?}"
    );
    assert!(second.err.contains(&id), "{second:?}");
    assert_eq!((opens(&first).await, opens(&second.out).await), (401, 200));

    let third = gate
        .run(&["keys", "rotate", &id, "--overlap-seconds", "3600"])
        .await;
    let third = third.succeeded();
    assert_eq!(
        (opens(&second.out).await, opens(&third.out).await),
        (200, 200)
    );
    let shown = gate.run(&["keys", "show", &id]).await.succeeded();
    assert!(
        line(&shown, "old secret").contains("works until"),
        "{shown:?}"
    );

    let long = ["keys", "rotate", &id, "--overlap-seconds", "2592001"];
    names(gate.run(&long).await, "overlap_seconds");
    gate.run(&["keys", "revoke", &id]).await.succeeded();
    assert_eq!(
        (opens(&second.out).await, opens(&third.out).await),
        (401, 401)
    );
    names(gate.run(&["keys", "rotate", &id]).await, "revoked");
    names(
        gate.run(&["keys", "revoke", "turning"]).await,
        "not a key's id",
    );
}

// Workspaces.

#[tokio::test]
async fn workspaces_are_made_and_listed() {
    let gate = Gate::start().await;
    let made = gate
        .run(&["workspaces", "create", "the studio"])
        .await
        .succeeded();
    let id = made.out.trim();
    let found = api(&gate, &format!("/v1/workspaces/{id}")).await;
    assert_eq!(found["name"], "the studio");
    let listed = gate.run(&["workspaces", "list"]).await.succeeded();
    assert_eq!(listed.out.lines().count(), 2, "{listed:?}");
    assert!(line(&listed, id).ends_with("  the studio"), "{listed:?}");
    let listed = gate
        .run(&["--json", "workspaces", "list"])
        .await
        .succeeded();
    assert_eq!(listed.json(), api(&gate, "/v1/workspaces").await);
    names(
        gate.run(&["workspaces", "create", "the studio"]).await,
        "name",
    );
}

// Funds.

#[tokio::test]
async fn credits_added_twice_under_one_key_are_one_posting() {
    let gate = Gate::start().await;
    let add = |amount: &'static str| {
        let gate = &gate;
        let arguments = ["--json", "credits", "add", amount, "--reason", "invoice 8"];
        let key = ["--idempotency-key", "invoice-8"];
        async move { gate.run(&[&arguments[..], &key].concat()).await }
    };
    let (first, second) = (add("7").await, add("7").await);
    assert_eq!(first.succeeded().json(), second.succeeded().json());
    let other = add("8").await;
    assert_eq!(other.json()["error"], "idempotency_conflict", "{other:?}");
    assert_eq!(
        api(&gate, "/v1/credits").await["balance_nanos"],
        7_000_000_000_i64
    );
}

#[tokio::test]
async fn credits_added_twice_are_two_postings_to_the_nano_dollar() {
    let gate = Gate::start().await;
    let workspace = gate.new_workspace("studio").await;
    let add = async |amount: &str| {
        let arguments = ["--json", "credits", "add", amount, "--reason", "invoice 7"];
        let arguments = [&arguments[..], &["--workspace", &workspace]].concat();
        gate.run(&arguments).await.succeeded().json()
    };
    let (first, second) = (add("100.000000001").await, add("100.000000001").await);
    assert_ne!(first["entry"]["number"], second["entry"]["number"]);
    let taken = add("-0.5").await;
    assert_eq!(taken["entry"]["kind"], "adjustment");
    assert_eq!(taken["available_nanos"], 199_500_000_002_i64);

    let theirs = format!("/v1/credits/entries?workspace_id={workspace}");
    let entries = api(&gate, &theirs).await;
    let amounts: Vec<i64> = entries["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|posting| posting["entries"][0]["amount_nanos"].as_i64().unwrap())
        .collect();
    assert_eq!(amounts, [-500_000_000, 100_000_000_001, 100_000_000_001]);
    let listed = ["--json", "credits", "entries", "--workspace", &workspace];
    let listed = gate.run(&listed).await.succeeded();
    assert_eq!(listed.json(), entries);
    let own = api(&gate, "/v1/credits").await;
    assert_eq!(
        own["balance_nanos"], 0,
        "the caller's own workspace was not meant"
    );
}

#[tokio::test]
async fn funds_are_shown_in_dollars_exactly() {
    let gate = Gate::start().await;
    let order = Order::of("held for").endless();
    gate.create(&order).await;
    let added = gate
        .run(&["credits", "add", "--reason", "a gift", "2.000000001"])
        .await
        .succeeded();
    assert!(
        line(&added, "top_up").contains("ws:available 2.000000001"),
        "{added:?}"
    );
    assert!(line(&added, "top_up").ends_with("  a gift"), "{added:?}");
    let shown = gate.run(&["credits", "show"]).await.succeeded();
    for (name, amount) in [
        ("balance", " 2.000000001 USD"),
        ("reserved", " 0.01 USD"),
        ("available", " 1.990000001 USD"),
    ] {
        assert!(line(&shown, name).ends_with(amount), "{name}: {shown:?}");
    }
    let shown = gate.run(&["--json", "credits", "show"]).await.succeeded();
    assert_eq!(shown.json(), api(&gate, "/v1/credits").await);

    let page = gate
        .run(&["credits", "entries", "--limit", "1"])
        .await
        .succeeded();
    assert_eq!(page.out.lines().count(), 1, "{page:?}");
    let behind = page.err.rsplit(' ').next().unwrap().trim();
    let page = gate
        .run(&["credits", "entries", "--after", behind])
        .await
        .succeeded();
    assert!(line(&page, "hold").contains("ws:held 0.01"), "{page:?}");
    assert!(line(&page, "hold").contains("video_"), "{page:?}");
    assert_eq!(
        (page.out.lines().count(), page.err.as_str()),
        (1, ""),
        "{page:?}"
    );
}

#[tokio::test]
async fn funds_that_cannot_be_moved_or_shown_are_refused_by_what_is_wrong() {
    let gate = Gate::start().await;
    for (arguments, field) in [
        (&["credits", "add", "much", "--reason", "x"][..], "amount"),
        (&["credits", "add", "-much", "--reason", "x"], "amount"),
        (&["credits", "add", "0", "--reason", "x"], "amount"),
        (&["credits", "add", "1", "--reason", ""], "reason"),
        (
            &[
                "credits",
                "add",
                "1",
                "--reason",
                "x",
                "--workspace",
                "studio",
            ],
            "workspace_id",
        ),
        (
            &["credits", "show", "--workspace", "studio"],
            "workspace_id",
        ),
        (&["credits", "entries", "--limit", "201"], "limit"),
        (&["credits", "entries", "--after", "0"], "after"),
    ] {
        names(gate.run(arguments).await, field);
    }
    let entries = api(&gate, "/v1/credits/entries").await;
    assert_eq!(entries["data"], json!([]));
}

#[tokio::test]
async fn each_credits_add_carries_an_idempotency_key_of_its_own() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = {
        let heard = Arc::clone(&heard);
        move |headers: HeaderMap| async move {
            let key = headers["idempotency-key"].to_str().unwrap().to_owned();
            heard.lock().unwrap().push(key);
            (StatusCode::CREATED, axum::Json(json!({})))
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let routes = axum::Router::new().route("/v1/credits", axum::routing::post(hears));
    let home = Home::new();
    let twice = async {
        for _ in 0..2 {
            let mut command = home.command(&["credits", "add", "1", "--reason", "x"]);
            command.env("FILMGATE_URL", &address);
            let done = command.env("FILMGATE_KEY", "fg_a_key").output().await;
            assert!(done.unwrap().status.success());
        }
    };
    tokio::select! {
        _ = axum::serve(listener, routes) => panic!("the listener ended"),
        () = twice => {}
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 2);
    assert_ne!(heard[0], heard[1]);
    assert!(heard.iter().all(|key| key.len() == 64), "{heard:?}");
}

// Usage.

#[tokio::test]
async fn usage_is_told_as_the_api_tells_it() {
    let gate = Gate::configured("[billing]\nmarkup_basis_points = 1").await;
    gate.completed(&Order::of("one")).await;
    gate.completed(&Order::of("two").with("duration", 2)).await;
    let workspace = gate.new_workspace("studio").await;
    let key = api(&gate, "/v1/key").await;

    let by = "day,model,provider,key,workspace";
    let json = gate.run(&["--json", "usage", "--by", by]).await.succeeded();
    let usage = json.json();
    let data = &usage["data"][0];
    assert_eq!(
        (
            &usage["total"]["user_cost_nanos"],
            &data["provider_cost_nanos"]
        ),
        (&json!(SECOND * 3 + 3_000), &json!(SECOND * 3))
    );
    assert_eq!((&data["jobs"], &data["key_id"]), (&json!(2), &key["id"]));

    let table = gate.run(&["usage", "--by", by]).await.succeeded();
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 3, "{table:?}");
    let words = |line: &str| {
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let sums = ["2", "2", "3.0", "0.030003", "0.03"];
    let mut group: Vec<&str> = ["day", "model", "provider", "key_id", "workspace_id"]
        .map(|field| data[field].as_str().unwrap())
        .to_vec();
    group.extend(sums);
    assert_eq!(words(lines[1]), group);
    assert_eq!(words(lines[2]), [&["total"][..], &sums].concat());
    let plain = gate.run(&["usage"]).await.succeeded();
    assert_eq!(words(plain.out.lines().last().unwrap()), sums);

    let day = data["day"].as_str().unwrap();
    let that_day = [
        "--json",
        "usage",
        "--from",
        day,
        "--to",
        day,
        "--key",
        id_of(&key),
    ];
    let that_day = gate.run(&that_day).await.succeeded().json();
    assert_eq!(that_day["total"], usage["total"]);
    for none in [
        &["--to", "2001-01-01", "--from", "2001-01-01"][..],
        &["--workspace", &workspace],
    ] {
        let arguments = [&["--json", "usage"][..], none].concat();
        let none = gate.run(&arguments).await.succeeded().json();
        assert_eq!(none["total"]["jobs"], 0, "{none:#}");
    }
}

#[tokio::test]
async fn usage_as_csv_is_the_gateways_own() {
    let gate = Gate::start().await;
    gate.completed(&Order::of("counted")).await;
    for (by, query) in [(None, ""), (Some("day,model"), "&group_by=day,model")] {
        let mut arguments = vec!["usage", "--csv"];
        arguments.extend(by.into_iter().flat_map(|by| ["--by", by]));
        let printed = gate.run(&arguments).await.succeeded();
        let served = gate.call(Method::GET, &format!("/v1/usage?format=csv{query}"));
        let served = served.send().await.expect(200);
        assert_eq!(printed.out.as_bytes(), served.body);
        assert_eq!(printed.out.lines().count(), 2, "{printed:?}");
    }
}

#[tokio::test]
async fn usage_that_cannot_be_told_is_refused_by_what_is_wrong() {
    let gate = Gate::start().await;
    for (more, field) in [
        (&["--by", "colour"][..], "group_by"),
        (&["--from", "yesterday"], "from"),
        (&["--to", "2026-02-30"], "to"),
        (&["--key", "mine"], "key_id"),
        (&["--workspace", "studio", "--csv"], "workspace_id"),
        (&["--csv", "--json"], "--csv"),
    ] {
        let arguments = [&["usage"][..], more].concat();
        names(gate.run(&arguments).await, field);
    }
}

// On a gateway of its own.

#[tokio::test]
async fn without_a_running_gateway_the_commands_use_one_of_their_own() {
    let home = Home::new();
    let add = ["credits", "add", "5", "--reason", "before the first start"];
    home.run(&add).await.succeeded();
    let gate = home.start().await;
    let funds = 5_000_000_000_i64;
    assert_eq!(api(&gate, "/v1/credits").await["available_nanos"], funds);
    // Whoever lost every key makes another one beside the data.
    let home = gate.stop().await;
    let create = ["keys", "create", "another admin", "--role", "admin"];
    let made = home.run(&create).await.succeeded().out;
    let gate = home.start().await;
    let key = gate
        .get("/v1/key")
        .key(made.trim())
        .send()
        .await
        .expect(200);
    assert_eq!(key.json()["role"], "admin");
    let audit = gate.stop().await.doctor().await;
    audit.is_closed_and_balanced();
    assert_eq!(audit.postings, 1);
}
