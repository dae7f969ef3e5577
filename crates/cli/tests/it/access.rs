//! Who may call what: every published route, with every role, on objects of one's own and of others.
//!
//! The table is the promise. A route that is published and not in it fails the walk, and so does the reverse.

use reqwest::Method;
use serde_json::{Value, json};

use crate::gate::{Answer, Gate, id_of};
use crate::order::Order;
use crate::routes::{self, Route};
use crate::stuck;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Least {
    Read,
    Member,
    Admin,
}

const ROLES: [(&str, Least); 3] = [
    ("read", Least::Read),
    ("member", Least::Member),
    ("admin", Least::Admin),
];

/// What an object in the path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Nothing,
    Video,
    Key,
    ProviderKey,
    Workspace,
    ParkedJob,
}

/// Every route that asks for a key, those under `/v1/video/generations` apart, which are the same again.
const TABLE: [(&str, &str, Least); 39] = [
    ("POST", "/v1/videos", Least::Member),
    ("GET", "/v1/videos", Least::Read),
    ("GET", "/v1/videos/models", Least::Read),
    ("POST", "/v1/videos/quote", Least::Member),
    ("GET", "/v1/videos/{video_id}", Least::Read),
    ("DELETE", "/v1/videos/{video_id}", Least::Member),
    ("POST", "/v1/videos/{video_id}/cancel", Least::Member),
    ("POST", "/v1/videos/{video_id}/retry", Least::Member),
    ("GET", "/v1/videos/{video_id}/content", Least::Read),
    ("POST", "/v1/videos/{video_id}/download_url", Least::Member),
    ("GET", "/v1/videos/{video_id}/timeline", Least::Read),
    ("GET", "/v1/videos/{video_id}/events", Least::Read),
    ("GET", "/v1/async/video/{video_id}/ws", Least::Read),
    ("GET", "/v1/generations", Least::Read),
    ("GET", "/v1/key", Least::Read),
    ("GET", "/v1/credits", Least::Read),
    ("GET", "/v1/usage", Least::Read),
    ("GET", "/v1/activity", Least::Read),
    ("POST", "/v1/credits", Least::Admin),
    ("GET", "/v1/credits/entries", Least::Admin),
    ("POST", "/v1/keys", Least::Admin),
    ("GET", "/v1/keys", Least::Admin),
    ("GET", "/v1/keys/{key_id}", Least::Admin),
    ("PATCH", "/v1/keys/{key_id}", Least::Admin),
    ("DELETE", "/v1/keys/{key_id}", Least::Admin),
    ("POST", "/v1/keys/{key_id}/rotate", Least::Admin),
    ("POST", "/v1/provider-keys", Least::Admin),
    ("GET", "/v1/provider-keys", Least::Admin),
    ("GET", "/v1/provider-keys/{provider_key_id}", Least::Admin),
    (
        "DELETE",
        "/v1/provider-keys/{provider_key_id}",
        Least::Admin,
    ),
    (
        "POST",
        "/v1/provider-keys/{provider_key_id}/rotate",
        Least::Admin,
    ),
    ("POST", "/v1/workspaces", Least::Admin),
    ("GET", "/v1/workspaces", Least::Admin),
    ("GET", "/v1/workspaces/{workspace_id}", Least::Admin),
    ("GET", "/v1/admin/actions", Least::Admin),
    ("GET", "/v1/providers", Least::Admin),
    ("GET", "/v1/admin/jobs", Least::Admin),
    ("POST", "/v1/admin/jobs/{video_id}/unpark", Least::Admin),
    ("POST", "/v1/admin/jobs/{video_id}/end", Least::Admin),
];

const ALIAS: &str = "/v1/video/generations";

fn least(route: &Route) -> Option<Least> {
    let path = route.path.replacen(ALIAS, "/v1/videos", 1);
    TABLE
        .iter()
        .find(|(method, of, _)| route.method.as_str() == *method && path == *of)
        .map(|(_, _, least)| *least)
}

fn names(route: &Route) -> Names {
    if route.path.starts_with("/v1/admin/jobs/") {
        Names::ParkedJob
    } else if route.path.contains("{video_id}") {
        Names::Video
    } else if route.path.contains("{provider_key_id}") {
        Names::ProviderKey
    } else if route.path.contains("{key_id}") {
        Names::Key
    } else if route.path.contains("{workspace_id}") {
        Names::Workspace
    } else {
        Names::Nothing
    }
}

/// A workspace with a key of each role in it, and the means to make objects there.
struct House {
    workspace: String,
    keys: [String; 3],
}

impl House {
    async fn new(gate: &Gate, name: &str) -> Self {
        let workspace = gate.new_workspace(name).await;
        let key = |role| gate.new_key(role, Some(&workspace));
        let keys = [key("read").await, key("member").await, key("admin").await];
        Self { workspace, keys }
    }

    /// An object of this workspace that nobody has used yet: what a route does to it harms no other call.
    async fn fresh(&self, gate: &Gate, names: Names) -> String {
        match names {
            Names::Nothing => String::new(),
            Names::Workspace => self.workspace.clone(),
            // Those that are left of what was parked beforehand.
            Names::ParkedJob => {
                let path = format!("/v1/admin/jobs?workspace_id={}", self.workspace);
                let page = gate.get(&path).send().await.expect(200).json();
                let oldest = page["first_id"].as_str();
                oldest.expect("one is parked").to_owned()
            }
            Names::Key => {
                let body = json!({"name": "to be used up", "workspace_id": self.workspace});
                let made = gate.post("/v1/keys").json(&body).send().await.created();
                id_of(&made).to_owned()
            }
            // A workspace has one at a time.
            Names::ProviderKey => {
                let listed = format!("/v1/provider-keys?workspace_id={}", self.workspace);
                let listed = gate.get(&listed).send().await.expect(200).json();
                for key in listed["data"].as_array().unwrap() {
                    let path = format!("/v1/provider-keys/{}", id_of(key));
                    gate.delete(&path).send().await.expect(200);
                }
                let body = json!({"provider": "testcard", "secret": "to-be-used-up", "workspace_id": self.workspace});
                let add = gate.post("/v1/provider-keys").json(&body);
                id_of(&add.send().await.created()).to_owned()
            }
            Names::Video => {
                let order = Order::of("to be used up").endless();
                let create = gate.post("/v1/videos").key(&self.keys[1]);
                let made = create.json(order.body()).send().await.expect(202).json();
                let cancel = format!("/v1/videos/{}/cancel", id_of(&made));
                let cancelled = gate.post(&cancel).key(&self.keys[1]).send().await;
                cancelled.expect(200);
                id_of(&made).to_owned()
            }
        }
    }
}

async fn call(gate: &Gate, route: &Route, object: &str, key: &str) -> Answer {
    let call = gate.call(route.method.clone(), &route.at(object)).key(key);
    let has_body = [Method::POST, Method::PATCH].contains(&route.method);
    if has_body {
        let body = match names(route) {
            Names::ProviderKey => json!({"secret": "a-new-one"}),
            _ => json!({}),
        };
        call.json(&body).send().await
    } else {
        call.send().await
    }
}

fn unknown(names: Names) -> [String; 2] {
    let prefix = match names {
        Names::Nothing => "none",
        Names::Video | Names::ParkedJob => "video",
        Names::Key => "key",
        Names::ProviderKey => "pkey",
        Names::Workspace => "ws",
    };
    [
        format!("{prefix}_{}", "0".repeat(26)),
        "nothing-of-the-kind".to_owned(),
    ]
}

#[tokio::test]
async fn every_route_opens_to_its_roles_and_to_no_object_of_another() {
    let settings = format!("[server]\nkey_requests_per_second = 0\n{}", stuck::SETTING);
    let gate = Gate::configured(&settings).await;
    let (ours, theirs) = (
        House::new(&gate, "ours").await,
        House::new(&gate, "theirs").await,
    );
    // For each house one to unpark and one to end.
    let members = [&ours, &theirs, &ours, &theirs].map(|house| house.keys[1].as_str());
    let (gate, _) = stuck::parked(gate, &members).await;
    let guarded: Vec<Route> = routes::published(&gate)
        .await
        .into_iter()
        .filter(|route| route.secured || route.path.ends_with("/content"))
        .collect();
    for (method, path, _) in TABLE {
        let published = guarded
            .iter()
            .any(|route| route.method.as_str() == method && route.path == path);
        assert!(published, "{method} {path} is promised and not published");
    }
    let mut walked = 0;
    for route in &guarded {
        let least = least(route).unwrap_or_else(|| panic!("{route:?} is in no table"));
        let names = names(route);
        for ((_, role), key) in ROLES.iter().zip(&ours.keys) {
            let own = ours.fresh(&gate, names).await;
            let foreign = theirs.fresh(&gate, names).await;
            if *role < least {
                for object in [&own, &foreign] {
                    let answer = call(&gate, route, object, key).await;
                    answer.refused(403, "forbidden");
                }
                continue;
            }
            let answer = call(&gate, route, &own, key).await;
            assert!(
                ![401, 403, 404, 429].contains(&answer.status) && answer.status < 500,
                "{role:?} {route:?}: {} {}",
                answer.status,
                answer.text()
            );
            let answer = call(&gate, route, &foreign, key).await;
            match names {
                Names::Nothing => {}
                Names::Video => {
                    answer.refused(404, "not_found");
                }
                // Operators act across workspaces.
                Names::Key | Names::ProviderKey | Names::Workspace | Names::ParkedJob => {
                    assert!(answer.status < 300, "{route:?}: {}", answer.text());
                }
            }
            if names != Names::Nothing {
                for object in unknown(names) {
                    let answer = call(&gate, route, &object, key).await;
                    answer.refused(404, "not_found");
                }
            }
            walked += 1;
        }
    }
    assert!(walked > 80, "only {walked} of routes times roles");
    let audit = gate.stop().await.doctor().await;
    let faults = (
        audit.unbalanced,
        audit.holds_closed_twice,
        audit.balances_wrong,
        audit.standings_wrong,
        audit.activity_wrong,
    );
    assert_eq!(faults, (0, 0, 0, 0, 0), "{audit:?}");
}

#[tokio::test]
async fn what_a_query_or_a_body_names_of_another_workspace_is_not_there() {
    let gate = Gate::start().await;
    let (ours, theirs) = (
        House::new(&gate, "ours").await,
        House::new(&gate, "theirs").await,
    );
    let order = Order::of("theirs");
    let create = gate.post("/v1/videos").key(&theirs.keys[1]);
    let made = create.json(order.body()).send().await.expect(202).json();
    let done = gate
        .get(&format!("/v1/videos/{}?wait=60", id_of(&made)))
        .key(&theirs.keys[0])
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(done["status"], "completed", "{done:#}");
    let (video, generation) = (id_of(&done), done["generation_id"].as_str().unwrap());
    for (at, key) in ours.keys.iter().enumerate() {
        let admin = at == 2;
        let get = |path: String| gate.get(&path).key(key).send();
        for path in ["/v1/credits", "/v1/usage", "/v1/activity"] {
            let answer = get(format!("{path}?workspace_id={}", theirs.workspace)).await;
            if admin {
                answer.expect(200);
            } else {
                let refused = answer.refused(404, "not_found");
                assert_eq!(refused["reason"], "workspace_not_found");
            }
            let nobodys = format!("ws_{}", "0".repeat(26));
            get(format!("{path}?workspace_id={nobodys}"))
                .await
                .refused(404, "not_found");
            get(format!("{path}?workspace_id=mine"))
                .await
                .refused_field("validation_error", "workspace_id");
            let own = get(format!("{path}?workspace_id={}", ours.workspace)).await;
            own.expect(200);
        }
        get(format!("/v1/generations?id={generation}"))
            .await
            .refused(404, "not_found");
        for path in ["/v1/videos", "/v1/activity"] {
            get(format!("{path}?after={video}"))
                .await
                .refused_field("validation_error", "after");
        }
        let everywhere = get("/v1/usage?group_by=workspace".to_owned()).await;
        if admin {
            everywhere.expect(200);
        } else {
            everywhere.refused(403, "forbidden");
        }
        // Filters cannot be used to look across the border either.
        let found = get("/v1/activity".to_owned()).await.expect(200).json();
        assert_eq!(found["data"], json!([]));
        let sums = get("/v1/usage".to_owned()).await.expect(200).json();
        assert_eq!(sums["total"]["jobs"], 0);
    }
}

#[tokio::test]
async fn a_key_that_is_disabled_or_expired_or_revoked_opens_nothing_and_its_jobs_run_on() {
    let gate = Gate::start().await;
    let reasons = [
        ("key_disabled", json!({"disabled": true})),
        ("key_revoked", Value::Null),
    ];
    for (reason, change) in reasons {
        let made = gate
            .post("/v1/keys")
            .json(&json!({"name": reason, "role": "member"}))
            .send()
            .await
            .created();
        let text = made["key"].as_str().unwrap();
        let order = Order::of(reason).simulate(json!({"render_seconds": 0.3}));
        let create = gate.post("/v1/videos").key(text).json(order.body());
        let video = create.send().await.expect(202).json();
        let path = format!("/v1/keys/{}", id_of(&made));
        if change.is_null() {
            gate.delete(&path).send().await.expect(200);
        } else {
            gate.call(Method::PATCH, &path)
                .json(&change)
                .send()
                .await
                .expect(200);
        }
        for route in routes::published(&gate)
            .await
            .iter()
            .filter(|route| route.secured)
        {
            let answer = call(&gate, route, id_of(&video), text).await;
            let refusal = answer.refused(401, "unauthorised");
            assert_eq!(refusal["reason"], reason, "{route:?}");
        }
        let ended = gate.wait_terminal(id_of(&video)).await;
        assert_eq!(ended["status"], "completed");
        let wrong = format!("{}0", &text[..text.len() - 1]);
        if wrong != text {
            let refusal = gate.get("/v1/videos").key(&wrong).send().await;
            let refusal = refusal.refused(401, "unauthorised");
            assert_eq!(
                refusal["reason"], "unauthorised",
                "only whoever knows the secret is told"
            );
        }
    }
    // Enabled again, it opens what it did.
    let made = gate
        .post("/v1/keys")
        .json(&json!({"name": "sleeper", "disabled": true}))
        .send()
        .await
        .created();
    let text = made["key"].as_str().unwrap();
    gate.get("/v1/key")
        .key(text)
        .send()
        .await
        .refused(401, "unauthorised");
    let path = format!("/v1/keys/{}", id_of(&made));
    let enable = gate
        .call(Method::PATCH, &path)
        .json(&json!({"disabled": false}));
    enable.send().await.expect(200);
    gate.get("/v1/key").key(text).send().await.expect(200);
}
