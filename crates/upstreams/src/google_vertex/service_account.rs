//! The project's only service account: its key, and the tokens that were given for it.

use std::collections::HashSet;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use serde::Serialize;
use serde_json::{Value, json};

use crate::jobs::lock;

/// An RSA key that was made for this emulator and is known to everybody: it opens nothing else.
const KEY: &[u8] = include_bytes!("key.der");
const KEY_ID: &str = "emulated";
const AUDIENCE: &str = "https://oauth2.googleapis.com/token";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(crate) const TOKEN_SECONDS: u64 = 3599;
const MOST_ASSERTION_SECONDS: i64 = 3600;
/// PEM breaks lines here.
const PEM_LINE: usize = 64;

#[derive(Debug)]
pub(crate) struct ServiceAccount {
    pub(crate) project: String,
    email: String,
    public_key: Vec<u8>,
    given: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    issued: u64,
    good: HashSet<String>,
}

/// How tokens stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tokens {
    /// Given so far.
    pub issued: u64,
    /// Taken still.
    pub good: usize,
}

impl ServiceAccount {
    pub(crate) fn new(project: String) -> Self {
        let pair = RsaKeyPair::from_pkcs8(KEY).expect("the key at hand is one");
        Self {
            email: format!("films@{project}.iam.gserviceaccount.com"),
            project,
            public_key: pair.public_key().as_ref().to_vec(),
            given: Mutex::default(),
        }
    }

    /// As Google writes it.
    pub(crate) fn file(&self, origin: &str) -> Value {
        let text = STANDARD.encode(KEY);
        let lines: Vec<&str> = text
            .as_bytes()
            .chunks(PEM_LINE)
            .map(|line| std::str::from_utf8(line).expect("base64 is text"))
            .collect();
        let lines = lines.join("\n");
        json!({
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": KEY_ID,
            "private_key": format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n"),
            "client_email": self.email,
            "token_uri": format!("{origin}/token"),
        })
    }

    /// A token for `assertion`, or why there is none.
    pub(crate) fn give(&self, grant: &str, assertion: &str) -> Result<String, &'static str> {
        if grant != GRANT {
            return Err("Invalid grant type.");
        }
        self.check(assertion)?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).expect("the operating system has randomness");
        let token = format!("ya29.emulated-{}", hex::encode(nonce));
        let mut given = lock(&self.given);
        given.issued += 1;
        given.good.insert(token.clone());
        Ok(token)
    }

    pub(crate) fn takes(&self, token: &str) -> bool {
        lock(&self.given).good.contains(token)
    }

    pub(crate) fn tokens(&self) -> Tokens {
        let given = lock(&self.given);
        Tokens {
            issued: given.issued,
            good: given.good.len(),
        }
    }

    pub(crate) fn expire_tokens(&self) {
        lock(&self.given).good.clear();
    }

    fn check(&self, assertion: &str) -> Result<(), &'static str> {
        let (signed, signature) = assertion
            .rsplit_once('.')
            .ok_or("Invalid JWT: it has no signature.")?;
        let (head, claims) = signed
            .split_once('.')
            .ok_or("Invalid JWT: it has no claims.")?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let object = |part: &str| -> Option<Value> { serde_json::from_slice(&decoded(part)?).ok() };
        let head = object(head).ok_or("Invalid JWT: its header cannot be read.")?;
        if head["alg"] != "RS256" || head["typ"] != "JWT" || head["kid"] != KEY_ID {
            return Err("Invalid JWT: its header is not one of this account's.");
        }
        let signature = decoded(signature).ok_or("Invalid JWT Signature.")?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key)
            .verify(signed.as_bytes(), &signature)
            .map_err(|_| "Invalid JWT Signature.")?;
        let claims = object(claims).ok_or("Invalid JWT: its claims cannot be read.")?;
        if claims["iss"] != *self.email || claims["aud"] != AUDIENCE {
            return Err("Invalid JWT: its issuer or audience is wrong.");
        }
        let scopes = claims["scope"].as_str().unwrap_or_default();
        if !scopes.split(' ').any(|scope| scope == SCOPE) {
            return Err("Invalid JWT: it has no scope for this.");
        }
        let good_for = match (claims["iat"].as_i64(), claims["exp"].as_i64()) {
            (Some(iat), Some(exp)) => exp.saturating_sub(iat),
            _ => return Err("Invalid JWT: iat and exp are required."),
        };
        if !(1..=MOST_ASSERTION_SECONDS).contains(&good_for) {
            return Err("Invalid JWT: it is good for longer than an hour, or not at all.");
        }
        Ok(())
    }
}
