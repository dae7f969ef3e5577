//! A bad day on order: the `provider_params.simulate` object, strictly parsed.
//!
//! Not here: acting on it (`service`).

use std::time::Duration;

use filmgate_core::failure::FailureCode;
use filmgate_core::request::Refusal;
use serde::Serialize;
use serde_json::{Map, Value};

/// How the testcard is to behave. The default behaves well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Simulation {
    /// The answer to the submit comes so late.
    pub submit: Duration,
    /// Accepted for so long before it is begun.
    pub queue: Duration,
    /// The render takes at least so long.
    pub render: Duration,
    /// Whether progress is told.
    pub progress: bool,
    pub fail: Option<FailureCode>,
    /// How much of the way is gone before it fails.
    pub fail_after_percent: u32,
    pub fail_billed: bool,
    /// The answer to the submit is lost, and no look-up can tell.
    pub ambiguous_submit: bool,
    pub cancel: CancelBehaviour,
    /// The usage it reports, in place of what it delivers.
    pub billed_ms: Option<u64>,
    pub corrupt_output: bool,
    /// How many of the outputs, from the last backwards, are not delivered.
    pub missing_outputs: u32,
}

/// What comes of a cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelBehaviour {
    #[default]
    Free,
    Billed,
    TooLate,
    Unsupported,
}

const FIELDS: [&str; 12] = [
    "submit_seconds",
    "queue_seconds",
    "render_seconds",
    "progress",
    "fail",
    "fail_after_percent",
    "fail_billed",
    "ambiguous_submit",
    "cancel",
    "billed_seconds",
    "corrupt_output",
    "missing_outputs",
];

const CANCELS: [(&str, CancelBehaviour); 3] = [
    ("billed", CancelBehaviour::Billed),
    ("too_late", CancelBehaviour::TooLate),
    ("unsupported", CancelBehaviour::Unsupported),
];

const MOST_SECONDS: u32 = 86_400;

impl Default for Simulation {
    fn default() -> Self {
        Self {
            submit: Duration::ZERO,
            queue: Duration::ZERO,
            render: Duration::ZERO,
            progress: true,
            fail: None,
            fail_after_percent: 50,
            fail_billed: false,
            ambiguous_submit: false,
            cancel: CancelBehaviour::default(),
            billed_ms: None,
            corrupt_output: false,
            missing_outputs: 0,
        }
    }
}

impl Simulation {
    /// Reads the object a client wrote.
    ///
    /// # Errors
    /// Names the first field that is unknown, of the wrong kind or out of bounds.
    pub fn parse(value: &Value) -> Result<Self, Refusal> {
        let Some(object) = value.as_object() else {
            return Err(Refusal {
                field: "provider_params.simulate".to_owned(),
                sent: shown(value),
                allowed: "an object".to_owned(),
            });
        };
        if let Some(unknown) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
            return Err(Refusal {
                field: path(&shortened(unknown)),
                sent: shortened(unknown),
                allowed: FIELDS.join(", "),
            });
        }
        let fields = Fields(object);
        let calm = Self::default();
        Ok(Self {
            submit: fields.seconds("submit_seconds")?.unwrap_or(calm.submit),
            queue: fields.seconds("queue_seconds")?.unwrap_or(calm.queue),
            render: fields.seconds("render_seconds")?.unwrap_or(calm.render),
            progress: fields.flag("progress")?.unwrap_or(calm.progress),
            fail: fields.word("fail", FailureCode::parse, || {
                FailureCode::ALL.map(FailureCode::as_str).join(", ")
            })?,
            fail_after_percent: fields
                .whole("fail_after_percent", 100)?
                .unwrap_or(calm.fail_after_percent),
            fail_billed: fields.flag("fail_billed")?.unwrap_or(calm.fail_billed),
            ambiguous_submit: fields
                .flag("ambiguous_submit")?
                .unwrap_or(calm.ambiguous_submit),
            cancel: fields
                .word("cancel", cancel, || {
                    CANCELS.map(|(word, _)| word).join(", ")
                })?
                .unwrap_or(calm.cancel),
            billed_ms: fields
                .seconds("billed_seconds")?
                .map(|billed| billed.as_millis() as u64),
            corrupt_output: fields
                .flag("corrupt_output")?
                .unwrap_or(calm.corrupt_output),
            missing_outputs: fields
                .whole("missing_outputs", 4)?
                .unwrap_or(calm.missing_outputs),
        })
    }
}

fn cancel(text: &str) -> Option<CancelBehaviour> {
    CANCELS
        .iter()
        .find(|(word, _)| *word == text)
        .map(|(_, behaviour)| *behaviour)
}

/// The fields of the object; each reading is `None` where the field is absent.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    /// Seconds, to the millisecond.
    fn seconds(&self, name: &str) -> Result<Option<Duration>, Refusal> {
        let allowed = || format!("a number of seconds from 0 to {MOST_SECONDS}");
        self.read(name, allowed, |value| {
            let seconds = value.as_f64()?;
            (0.0..=f64::from(MOST_SECONDS))
                .contains(&seconds)
                .then(|| Duration::from_millis((seconds * 1000.0).round() as u64))
        })
    }

    fn whole(&self, name: &str, most: u32) -> Result<Option<u32>, Refusal> {
        let allowed = || format!("a whole number from 0 to {most}");
        self.read(name, allowed, |value| {
            let number = value.as_u64()?;
            u32::try_from(number).ok().filter(|number| *number <= most)
        })
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        self.read(name, || "true or false".to_owned(), Value::as_bool)
    }

    fn word<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
        allowed: impl Fn() -> String,
    ) -> Result<Option<T>, Refusal> {
        let allowed = || format!("one of {}", allowed());
        self.read(name, allowed, |value| value.as_str().and_then(&parse))
    }

    fn read<T>(
        &self,
        name: &str,
        allowed: impl Fn() -> String,
        parse: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        parse(value).map(Some).ok_or_else(|| Refusal {
            field: path(name),
            sent: shown(value),
            allowed: allowed(),
        })
    }
}

fn path(field: &str) -> String {
    format!("provider_params.simulate.{field}")
}

fn shown(value: &Value) -> String {
    shortened(&value.to_string())
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 64 {
        return text.to_owned();
    }
    text.chars().take(63).chain(['\u{2026}']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn fault(value: Value) -> String {
        Simulation::parse(&value).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_object_behaves_well() {
        assert_eq!(Simulation::parse(&json!({})), Ok(Simulation::default()));
    }

    #[test]
    fn every_field_is_read() {
        let all = json!({
            "submit_seconds": 1, "queue_seconds": 0.5, "render_seconds": 86400, "progress": false,
            "fail": "content_moderated", "fail_after_percent": 100, "fail_billed": true,
            "ambiguous_submit": true, "cancel": "too_late", "billed_seconds": 7.25,
            "corrupt_output": true, "missing_outputs": 4,
        });
        let expected = Simulation {
            submit: Duration::from_secs(1),
            queue: Duration::from_millis(500),
            render: Duration::from_secs(86_400),
            progress: false,
            fail: Some(FailureCode::ContentModerated),
            fail_after_percent: 100,
            fail_billed: true,
            ambiguous_submit: true,
            cancel: CancelBehaviour::TooLate,
            billed_ms: Some(7250),
            corrupt_output: true,
            missing_outputs: 4,
        };
        assert_eq!(Simulation::parse(&all), Ok(expected));
    }

    #[test]
    fn a_fault_names_the_field_and_what_is_allowed() {
        assert_eq!(
            fault(json!({"cancel": "maybe"})),
            "provider_params.simulate.cancel: \"maybe\" was sent; one of billed, too_late, unsupported is allowed"
        );
        assert_eq!(
            fault(json!({"render_seconds": -1})),
            "provider_params.simulate.render_seconds: -1 was sent; a number of seconds from 0 to 86400 is allowed"
        );
        assert_eq!(
            fault(json!([])),
            "provider_params.simulate: [] was sent; an object is allowed"
        );
        assert!(
            fault(json!({"colour": 1}))
                .starts_with("provider_params.simulate.colour: colour was sent; submit_seconds,")
        );
    }

    #[test]
    fn what_is_out_of_bounds_or_of_the_wrong_kind_is_refused() {
        for value in [
            json!({"render_seconds": "1"}),
            json!({"queue_seconds": 86_400.1}),
            json!({"submit_seconds": null}),
            json!({"progress": 0}),
            json!({"fail": "no_such_code"}),
            json!({"fail": true}),
            json!({"fail_after_percent": 101}),
            json!({"fail_after_percent": 1.5}),
            json!({"fail_after_percent": -1}),
            json!({"missing_outputs": 5}),
            json!({"missing_outputs": 18_446_744_073_709_551_615u64}),
            json!({"billed_seconds": 1e300}),
            json!({"corrupt_output": "yes"}),
        ] {
            assert!(Simulation::parse(&value).is_err(), "{value} was taken");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,80}".prop_map(Value::from),
        ];
        let key = prop_oneof![
            prop::sample::select(&FIELDS[..]).prop_map(str::to_owned),
            "\\PC{0,70}"
        ];
        prop_oneof![
            leaf.clone(),
            prop::collection::hash_map(key, leaf, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    }

    proptest! {
        #[test]
        fn no_value_makes_the_parser_panic(value in any_json()) {
            if let Err(fault) = Simulation::parse(&value) {
                prop_assert!(!fault.allowed.is_empty() && fault.field.starts_with("provider_params.simulate"));
            }
        }
    }
}
