//! Projects at Google's cloud.

use filmgate_core::provider::Secret;
use filmgate_providers::google_vertex::{self as vertex, ServiceAccount, Site};

use super::super::keys::Keys;
use super::super::variable;
use super::GOOGLE_VERTEX;
use super::account::base_url;

/// A project at Google's cloud.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    pub(crate) site: Site,
    /// The text of a service account's key.
    pub(crate) key: Secret,
}

/// A project, whose key is written down or lies where the usual variable says.
pub(super) fn project(enabled: bool, keys: &mut Keys<'_>) -> Project {
    let base_url = keys.has("base_url").then(|| base_url(keys));
    let written = keys.has("credentials");
    let text = credentials(enabled, keys);
    let account = text.as_ref().and_then(|text| {
        let read = ServiceAccount::read(text.expose());
        read.map_err(|bad| keys.fault("credentials", bad.to_string()))
            .ok()
    });
    if text.is_none() && enabled && !written {
        keys.fault(
            "credentials",
            format!(
                "it is required, unless the variable {} names a key's file",
                vertex::KEY_FILE_VARIABLE
            ),
        );
    }
    let given = |keys: &mut Keys<'_>, key: &'static str, variable_of: &str| -> Option<String> {
        keys.take(key).or_else(|| variable(variable_of))
    };
    let project = given(keys, "project", vertex::PROJECT_VARIABLE);
    let location = given(keys, "location", vertex::LOCATION_VARIABLE);
    let project = project.or_else(|| account.as_ref()?.project().map(str::to_owned));
    let site = Site {
        // Without its key, a provider that is off need not have one.
        project: project.unwrap_or_else(|| if enabled { "" } else { "none" }.to_owned()),
        location: location.unwrap_or_else(|| vertex::DEFAULT_LOCATION.to_owned()),
        base_url,
        storage_uri: keys.take("storage_uri"),
    };
    let unread = enabled && account.is_none();
    for (key, why) in site.faults() {
        // Where the key cannot be read, it may well name the project.
        if !(unread && key == "project" && site.project.is_empty()) {
            keys.fault(key, why);
        }
    }
    if let Some(bad) = account.and_then(|account| site.objection(&account)) {
        keys.fault("credentials", bad.to_string());
    }
    Project {
        site,
        key: text.unwrap_or_else(|| Secret::new("")),
    }
}

/// The text of a key: of the file that is named, or of the variable behind `env:`, which holds the key itself.
fn credentials(enabled: bool, keys: &mut Keys<'_>) -> Option<Secret> {
    let named = match keys.value("credentials") {
        None => variable(vertex::KEY_FILE_VARIABLE)?,
        Some(value) => match value.as_str() {
            Some(text) => text.to_owned(),
            None => {
                let allowed = "a text is allowed: a key's file, or env: and a variable's name";
                keys.fault("credentials", allowed);
                return None;
            }
        },
    };
    // A provider that is switched off need not have its key at hand.
    if !enabled {
        return None;
    }
    let read = match named.strip_prefix("env:") {
        Some(name) => variable(name).ok_or_else(|| format!("the variable {name} is not set")),
        None => std::fs::read_to_string(&named)
            .map_err(|error| format!("the file {named:?} cannot be read: {error}")),
    };
    read.map_err(|why| keys.fault("credentials", why))
        .ok()
        .map(Secret::new)
}

/// A project, where the usual variable names a key's file and that is one of a service account. Other tools are given other
/// credentials by the same variable, so those are no fault: they are none of ours.
pub(super) fn project_from_environment(faults: &mut Vec<String>) -> Option<Project> {
    let file = variable(vertex::KEY_FILE_VARIABLE)?;
    let key = std::fs::read_to_string(file).ok()?;
    let account = ServiceAccount::read(&key).ok()?;
    let project = variable(vertex::PROJECT_VARIABLE);
    let location = variable(vertex::LOCATION_VARIABLE);
    let site = Site {
        project: project.or_else(|| account.project().map(str::to_owned))?,
        location: location.unwrap_or_else(|| vertex::DEFAULT_LOCATION.to_owned()),
        base_url: None,
        storage_uri: None,
    };
    if site.objection(&account).is_some() {
        return None;
    }
    let wrong = site.faults();
    faults.extend(
        wrong
            .iter()
            .map(|(key, why)| format!("the {key} of {GOOGLE_VERTEX} in the environment: {why}")),
    );
    wrong.is_empty().then(|| Project {
        site,
        key: Secret::new(key),
    })
}
