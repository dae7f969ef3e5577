//! The key of a service account: read, signed with, exchanged for a token.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use filmgate_core::failure::{Failure, FailureCode};
use filmgate_core::provider::{Body, Secret, Token};
use filmgate_core::time::UnixTime;
use http::{HeaderValue, Method, Request, Response, header};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use url::Url;
use url::form_urlencoded::Serializer;

use super::complaint;
use crate::redaction::Redaction;
use crate::retry_after;

/// Whose token addresses an assertion is posted to.
pub(super) const TOKEN_HOSTS: [&str; 3] = [
    "oauth2.googleapis.com",
    "accounts.google.com",
    "www.googleapis.com",
];
/// Whom an assertion is for, wherever it is posted: Google's own library writes the same.
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The longest that an assertion may be good for, and how long a token is where it does not say.
const AN_HOUR: Duration = Duration::from_secs(3600);

/// What a key's file says that is needed here.
#[derive(Debug, Clone)]
pub struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    private_key: Secret,
    token_uri: Url,
    project: Option<String>,
}

/// Why a text is no key of a service account. Nothing of the text is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("it is not a JSON object")]
    NotJson,
    #[error("its type is not service_account; keys of service accounts are taken alone")]
    OtherType,
    #[error("it has no {0}")]
    Lacks(&'static str),
    #[error("its private_key is not an RSA key of at least 2048 bits in PKCS#8")]
    PrivateKey,
    #[error(
        "its token_uri is not one of Google's over https, nor at the base_url that stands in for Google"
    )]
    TokenUri,
}

impl ServiceAccount {
    /// Reads the text of a key's file.
    pub fn read(text: &str) -> Result<Self, BadKey> {
        let Ok(Value::Object(file)) = serde_json::from_str(text) else {
            return Err(BadKey::NotJson);
        };
        let text = |name: &'static str| {
            let text = file.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty())
        };
        if text("type").is_some_and(|kind| kind != "service_account") {
            return Err(BadKey::OtherType);
        }
        let need = |name: &'static str| text(name).ok_or(BadKey::Lacks(name));
        let account = Self {
            email: need("client_email")?.to_owned(),
            key_id: text("private_key_id").map(str::to_owned),
            private_key: Secret::new(need("private_key")?),
            token_uri: Url::parse(text("token_uri").unwrap_or(AUDIENCE))
                .map_err(|_| BadKey::TokenUri)?,
            project: text("project_id").map(str::to_owned),
        };
        account.key_pair().map(|_| account)
    }

    /// The project that the account belongs to.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// The message that asks for a token, and what is to be cut out of what is answered.
    pub(super) fn ask_for_token(
        &self,
        stand_in: Option<&Url>,
        now: UnixTime,
    ) -> Result<(Request<Body>, Redaction), BadKey> {
        self.check_token_uri(stand_in)?;
        let assertion = self.assertion(now)?;
        let form = Serializer::new(String::new())
            .append_pair("assertion", &assertion)
            .append_pair("grant_type", GRANT)
            .finish();
        let message = Request::builder()
            .method(Method::POST)
            .uri(self.token_uri.as_str())
            .header(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            )
            .body(form.into())
            .map_err(|_| BadKey::TokenUri)?;
        let secrets = [assertion, self.private_key.expose().to_owned()];
        Ok((message, Redaction::cutting(secrets)))
    }

    /// Whoever can write a key's file must not be able to have assertions sent elsewhere.
    pub(super) fn check_token_uri(&self, stand_in: Option<&Url>) -> Result<(), BadKey> {
        let uri = &self.token_uri;
        let is_googles = uri.scheme() == "https"
            && uri.port().is_none()
            && uri
                .host_str()
                .is_some_and(|host| TOKEN_HOSTS.contains(&host));
        let is_fit = match stand_in {
            Some(stand_in) => uri.origin() == stand_in.origin(),
            None => is_googles,
        };
        let plain = uri.username().is_empty() && uri.password().is_none();
        (is_fit && plain).then_some(()).ok_or(BadKey::TokenUri)
    }

    /// A JSON Web Token (RFC 7519), signed with RS256.
    fn assertion(&self, now: UnixTime) -> Result<String, BadKey> {
        let mut head = json!({"typ": "JWT", "alg": "RS256"});
        if let Some(key_id) = &self.key_id {
            head["kid"] = json!(key_id);
        }
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": AUDIENCE,
            "iat": now.seconds(),
            "exp": now.plus(AN_HOUR).seconds(),
        });
        let mut text = URL_SAFE_NO_PAD.encode(head.to_string());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut text);
        let pair = self.key_pair()?;
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            text.as_bytes(),
            &mut signature,
        )
        .map_err(|_| BadKey::PrivateKey)?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }

    fn key_pair(&self) -> Result<RsaKeyPair, BadKey> {
        let pem = self.private_key.expose().as_bytes();
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| BadKey::PrivateKey)?;
        RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| BadKey::PrivateKey)
    }
}

/// The token in an answer. Of an answer that is not understood nothing is kept: it may be one.
pub(super) fn token(answer: &Response<Bytes>, redaction: &Redaction) -> Result<Token, Failure> {
    let status = answer.status();
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    if status.is_success() && body.get("error").is_none() {
        let token = text("access_token").filter(|token| HeaderValue::from_str(token).is_ok());
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(Failure::passing(
                FailureCode::ProviderError,
                "the token endpoint's answer has no access_token",
            )
            .from_provider(Some(status.as_u16()), None, None));
        };
        let seconds = body.get("expires_in").and_then(Value::as_u64);
        return Ok(Token {
            secret: Secret::new(token),
            expires_in: Some(
                seconds.map_or(AN_HOUR, |seconds| Duration::from_secs(seconds).min(AN_HOUR)),
            ),
        });
    }
    let code = match status.as_u16() {
        429 => FailureCode::RateLimited,
        408 | 504 => FailureCode::ProviderTimeout,
        // A server in trouble is no verdict on the key.
        500.. => FailureCode::ProviderError,
        400 | 401 | 403 => FailureCode::ProviderAuth,
        _ if text("error").is_some() => FailureCode::ProviderAuth,
        _ => FailureCode::ProviderError,
    };
    let said = text("error_description").map(|text| redaction.apply(text));
    let word = text("error").map(|word| redaction.apply(word));
    let message = match &word {
        Some(word) => format!(
            "the token endpoint refused the service account: {}",
            complaint::shortened(word)
        ),
        None => format!(
            "the token endpoint answered with status {}",
            status.as_u16()
        ),
    };
    Err(Failure::of(code, message)
        .retry_after(retry_after::read(answer.headers()))
        .from_provider(Some(status.as_u16()), word, said))
}
