//! A client of the public API, for the commands.

use anyhow::{Context, Result, bail};
use filmgate_core::provider::Secret;
use filmgate_engine::entropy;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: Secret,
}

/// The gateway said no, in its envelope.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {description}")]
pub(crate) struct Refused {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) description: String,
    /// The whole envelope, for `--json`.
    pub(crate) envelope: Value,
}

/// A status object, and what to send to hear of its next change.
pub(crate) struct Seen {
    pub(crate) video: Value,
    pub(crate) etag: Option<String>,
}

/// `path`, asked with those parameters that are given.
pub(crate) fn asking(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let given = parameters
        .iter()
        .filter_map(|(name, value)| Some((name, (*value)?)));
    let mut asked = Url::parse("http://gateway").expect("this is a URL");
    asked.query_pairs_mut().extend_pairs(given);
    match asked.query() {
        Some(query) if !query.is_empty() => format!("{path}?{query}"),
        _ => path.to_owned(),
    }
}

impl Client {
    pub(crate) fn new(base: &str, key: Secret) -> Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .context("the HTTP client cannot be made")?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            key,
        })
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.send(request).await?;
        Ok(answer.json().await?)
    }

    /// Posts what may be done once only: should the request be sent again on the way, it does nothing more. The same
    /// holds for another call with the same `key`, where one is given.
    pub(crate) async fn post_once(
        &self,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<Value> {
        let drawn = || {
            let bytes = entropy::secret();
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let once = key.map_or_else(drawn, str::to_owned);
        let request = self.request(Method::POST, path).json(body);
        let answer = self.send(request.header("idempotency-key", once)).await?;
        Ok(answer.json().await?)
    }

    /// The video now, or after its next change when `etag` names the last one seen.
    pub(crate) async fn video(&self, id: &str, etag: Option<&str>) -> Result<Option<Seen>> {
        let wait = if etag.is_some() { "?wait=30" } else { "" };
        let mut request = self.request(Method::GET, &format!("/v1/videos/{id}{wait}"));
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        let answer = self.send(request).await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let etag = answer
            .headers()
            .get("etag")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        Ok(Some(Seen {
            video: answer.json().await?,
            etag,
        }))
    }

    /// An answer whose body is a file.
    pub(crate) async fn download(&self, path: &str) -> Result<reqwest::Response> {
        self.send(self.request(Method::GET, path)).await
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(self.key.expose())
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let answer = request
            .send()
            .await
            .with_context(|| format!("the gateway at {} cannot be reached", self.base))?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(answer);
        }
        let envelope: Value = match answer.json().await {
            Ok(envelope) => envelope,
            Err(_) => bail!(
                "the gateway at {} answered {status} without saying why",
                self.base
            ),
        };
        let text = |name: &str| envelope[name].as_str().unwrap_or_default().to_owned();
        let mut description = text("description");
        for detail in envelope["details"].as_array().into_iter().flatten() {
            let part = |name: &str| detail[name].as_str().unwrap_or_default();
            let told = format!("{}: {}", part("path"), part("message"));
            if !description.contains(&told) {
                description.push_str(&format!("\n  {told}"));
            }
        }
        Err(Refused {
            status,
            code: text("error"),
            description,
            envelope,
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parameters_that_are_given_are_asked_with_whatever_is_in_them() {
        assert_eq!(asking("/v1/usage", &[("from", None)]), "/v1/usage");
        assert_eq!(
            asking(
                "/v1/usage",
                &[("from", None), ("to", Some("a&b=c d")), ("x", Some("1"))]
            ),
            "/v1/usage?to=a%26b%3Dc+d&x=1"
        );
    }
}
