//! Where notices may go: https, and a host that is public as far as its text tells.
//!
//! Not here: which addresses are public (`core::address`), and what the name resolves to, which is checked again when
//! somebody connects.

use std::net::IpAddr;

use filmgate_core::address::{is_public, is_public_name};
use url::{Host, Url};

use super::shortened;
use crate::error::ApiError;

const EVENTS: [&str; 8] = [
    "created",
    "status_changed",
    "progress",
    "completed",
    "failed",
    "cancelled",
    "expired",
    "billing_settled",
];

/// Checks an address a client gave at `path`.
pub(crate) fn check_address(path: &str, text: &str) -> Result<(), ApiError> {
    let refuse = |why: &str| {
        Err(ApiError::validation(
            path,
            format!(
                "{:?} was sent; {why}; allowed is an https URL of a public host",
                shortened(text)
            ),
        ))
    };
    if text.len() > 2048 {
        return refuse("it has more than 2048 bytes");
    }
    let Ok(url) = Url::parse(text) else {
        return refuse("it is not an absolute URL");
    };
    if url.scheme() != "https" {
        return refuse("it is not https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("it carries a user name or a password");
    }
    let public = match url.host() {
        Some(Host::Domain(name)) => is_public_name(name),
        Some(Host::Ipv4(address)) => is_public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => is_public(IpAddr::V6(address)),
        None => false,
    };
    if public {
        Ok(())
    } else {
        refuse("its host is not public")
    }
}

/// The events of a subscription that exist; at least one has to, and all are of one family.
pub(crate) fn known_events(path: &str, events: &[String]) -> Result<Vec<String>, ApiError> {
    let known: Vec<&String> = events
        .iter()
        .filter(|event| {
            event.split_once('.').is_some_and(|(family, name)| {
                matches!(family, "video" | "job") && EVENTS.contains(&name)
            })
        })
        .collect();
    if known.is_empty() {
        return Err(ApiError::validation(
            path,
            format!(
                "{:?} was sent; allowed are video. or job. and one of {}",
                shortened(&events.join(", ")),
                EVENTS.join(", ")
            ),
        ));
    }
    let of_jobs = known
        .iter()
        .filter(|event| event.starts_with("job."))
        .count();
    if of_jobs > 0 && of_jobs < known.len() {
        return Err(ApiError::validation(
            path,
            "video. and job. names were sent; allowed is one family for each subscription",
        ));
    }
    Ok(known.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_https_hosts_are_taken() {
        for good in [
            "https://example.org/hook?x=1",
            "https://8.8.8.8:8443/",
            "https://[2606:4700::1111]/",
        ] {
            assert!(check_address("callback_url", good).is_ok(), "{good}");
        }
        for bad in [
            "http://example.org/",
            "https://localhost/",
            "https://a.localhost./",
            "https://intranet/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://10.1.2.3/",
            "https://169.254.169.254/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://u:p@example.org/",
            "ftp://example.org/",
            "not a url",
            "",
        ] {
            assert!(check_address("callback_url", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn events_are_known_and_of_one_family() {
        let known = |events: &[&str]| {
            let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
            known_events("webhook.events", &events)
        };
        assert_eq!(
            known(&["video.completed", "video.exploded"]).unwrap(),
            ["video.completed"]
        );
        assert!(known(&["job.completed", "job.failed"]).is_ok());
        assert!(known(&["video.completed", "job.failed"]).is_err());
        assert!(known(&["video.exploded"]).is_err());
        assert!(known(&["completed"]).is_err());
        assert!(known(&[]).is_err());
    }
}
