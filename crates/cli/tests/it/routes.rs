//! The routes as the gateway itself publishes them.

use reqwest::Method;
use serde_json::Value;

use crate::gate::Gate;

/// One method of one path of `/openapi.json`.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// With its parameters in braces.
    pub(crate) path: String,
    /// Whether a key is asked for.
    pub(crate) secured: bool,
}

impl Route {
    pub(crate) fn is_about_videos(&self) -> bool {
        [
            "/v1/videos",
            "/v1/video/generations",
            "/v1/generations",
            "/v1/async/video",
        ]
        .iter()
        .any(|prefix| self.path == *prefix || self.path.starts_with(&format!("{prefix}/")))
    }

    /// The path with every parameter replaced.
    pub(crate) fn at(&self, id: &str) -> String {
        let mut path = String::new();
        let mut rest = self.path.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            path.push_str(before);
            path.push_str(id);
            rest = after.split_once('}').unwrap().1;
        }
        path + rest
    }
}

pub(crate) async fn openapi(gate: &Gate) -> Value {
    gate.get("/openapi.json")
        .anonymous()
        .send()
        .await
        .expect(200)
        .json()
}

/// Every route of the published document.
pub(crate) async fn published(gate: &Gate) -> Vec<Route> {
    let document = openapi(gate).await;
    let secured_by_default = is_demanding(&document["security"]);
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            if !["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
                continue;
            }
            let secured = match &operation["security"] {
                Value::Null => secured_by_default,
                security => is_demanding(security),
            };
            routes.push(Route {
                method,
                path: path.clone(),
                secured,
            });
        }
    }
    assert!(
        routes.len() >= 15,
        "the document has only {} routes",
        routes.len()
    );
    routes
}

/// Whether every alternative asks for something.
fn is_demanding(security: &Value) -> bool {
    let alternatives = security.as_array().map(Vec::as_slice).unwrap_or_default();
    !alternatives.is_empty()
        && alternatives
            .iter()
            .all(|one| one.as_object().is_some_and(|names| !names.is_empty()))
}
