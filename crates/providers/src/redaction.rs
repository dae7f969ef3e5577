//! What a server said, fit to be kept and shown: without the credential, the prompts and links.

use filmgate_core::provider::{Order, Token};

/// Texts that are cut out wherever they are repeated.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redaction(Vec<String>);

/// A shorter prompt is an ordinary word, and cutting it out would make the rest unreadable.
const LEAST_PROMPT_BYTES: usize = 8;

impl Redaction {
    pub(crate) fn of(order: &Order, token: &Token) -> Self {
        let request = &order.request;
        let prompts = [Some(&request.prompt), request.negative_prompt.as_ref()];
        let mut cut: Vec<String> = prompts
            .into_iter()
            .flatten()
            .map(|prompt| prompt.trim().to_owned())
            .filter(|prompt| prompt.len() >= LEAST_PROMPT_BYTES)
            .collect();
        cut.extend(Some(token.secret.expose().to_owned()).filter(|secret| !secret.is_empty()));
        Self::cutting(cut)
    }

    /// Cuts `texts` out, as they are and as JSON writes them.
    pub(crate) fn cutting(texts: impl IntoIterator<Item = String>) -> Self {
        let mut cut = Vec::new();
        for text in texts {
            let quoted = serde_json::Value::from(text.as_str()).to_string();
            let escaped = quoted[1..quoted.len() - 1].to_owned();
            if escaped != text {
                cut.push(escaped);
            }
            cut.push(text);
        }
        Self(cut)
    }

    pub(crate) fn apply(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for cut in &self.0 {
            text = text.replace(cut.as_str(), "…");
        }
        without_links(&text)
    }
}

fn without_links(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let scheme = rest[..at]
            .char_indices()
            .rev()
            .take_while(|(_, letter)| letter.is_ascii_alphanumeric())
            .last();
        let begin = scheme.map_or(at, |(begin, _)| begin);
        let end = rest[at..]
            .find(|letter: char| {
                letter.is_whitespace() || matches!(letter, '"' | '\'' | '<' | '>' | ')')
            })
            .map_or(rest.len(), |length| at + length);
        plain.push_str(&rest[..begin]);
        plain.push_str("(link)");
        rest = &rest[end..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_prompts_and_links_are_cut_out_and_the_rest_stays() {
        let redaction = Redaction(vec!["a fox in snow".into(), "sk-1".into()]);
        assert_eq!(
            redaction.apply("key sk-1 may not draw 'a fox in snow', see https://h/x?sig=1. é"),
            "key … may not draw '…', see (link) é"
        );
        assert_eq!(
            redaction.apply("s3://b/k://c \"http://d\""),
            "(link) \"(link)\""
        );
        assert_eq!(redaction.apply("://"), "(link)");
        assert_eq!(redaction.apply(""), "");
        let escaped = Redaction::cutting(["say \"hi\"\nand go".to_owned()]);
        assert_eq!(
            escaped.apply(r#"{"prompt": "say \"hi\"\nand go"}"#),
            r#"{"prompt": "…"}"#
        );
    }
}
