//! What a client may ask of the model: [`CompletionOptions`].

use std::{collections::HashSet, sync::Arc};

use serde_json::value::RawValue;
use thiserror::Error;

/// Options that every deployment passes on. Whatever the OpenAI and OpenRouter APIs know besides and does not stand
/// here has to be allowed by the operator (`ALLOWED_OPTIONS`).
pub const PASSED_ON: &[&str] = &[
    "model",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "top_a",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "structured_outputs",
    "reasoning",
    "reasoning_effort",
    "include_reasoning",
    "verbosity",
    "parallel_tool_calls",
    "modalities",
    "transforms",
    "metadata",
];

/// Options that no configuration can allow: they decide who answers, who pays or what was said.
pub const NEVER_PASSED: &[&str] = &[
    "messages",
    "prompt",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "stream",
    "stream_options",
    "n",
    "user",
    "provider",
    "models",
    "route",
    "plugins",
    "preset",
    "api_key",
    "base_url",
    "instruction",
    "server_names",
];

/// The option that is ours and not the model's: the tool to call first.
const TOOL_NAME: &str = "tool_name";

/// What the operator allows beyond [`PASSED_ON`], and which models.
#[derive(Debug, Clone, Default)]
pub struct OptionPolicy {
    /// Further option names (`ALLOWED_OPTIONS`); those of [`NEVER_PASSED`] have no effect.
    pub extra: HashSet<String>,
    /// The models a client may choose from (`ALLOWED_MODELS`); empty: any.
    pub models: HashSet<String>,
}

impl OptionPolicy {
    fn allows(&self, name: &str) -> bool {
        PASSED_ON.contains(&name) || (self.extra.contains(name) && !NEVER_PASSED.contains(&name))
    }
}

/// Options that have been found allowed, as the client wrote them.
#[derive(Debug, Default)]
pub struct CompletionOptions {
    /// The model to ask instead of the configured one.
    pub model: Option<Box<str>>,
    /// A tool the model has to call first: a plain name, or qualified with its server.
    pub tool_name: Option<Box<str>>,
    /// All else, name and JSON value, in the client's order.
    pub rest: Vec<(Box<str>, Box<RawValue>)>,
}

/// An option that is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct OptionError {
    /// The option's name, as the client wrote it.
    pub name: String,
    /// What is wrong and what would be right; quotes no value.
    pub reason: String,
}

impl CompletionOptions {
    /// Judges a client's options. A `null` is an option that was not given.
    ///
    /// # Errors
    /// All that cannot be passed on, in the client's order.
    pub fn judge(members: Vec<(String, Box<RawValue>)>, policy: &OptionPolicy) -> Result<Arc<Self>, Vec<OptionError>> {
        let mut options = Self::default();
        let mut errors = Vec::new();
        for (name, value) in members {
            let judged = match name.as_str() {
                _ if value.get() == "null" => Ok(()),
                "model" => text(&value).and_then(|model| {
                    if policy.models.is_empty() || policy.models.contains(&*model) {
                        options.model = Some(model);
                        Ok(())
                    } else {
                        Err("This model is not offered here; an operator can allow it with ALLOWED_MODELS".to_owned())
                    }
                }),
                TOOL_NAME => text(&value).map(|tool| options.tool_name = Some(tool)),
                _ if policy.allows(&name) => {
                    options.rest.push((name.as_str().into(), value));
                    Ok(())
                }
                _ if NEVER_PASSED.contains(&name.as_str()) => Err("This option is not the client's to set".to_owned()),
                _ => Err("Unknown option; an operator can allow it with ALLOWED_OPTIONS".to_owned()),
            };
            if let Err(reason) = judged {
                errors.push(OptionError { name, reason });
            }
        }
        if errors.is_empty() { Ok(Arc::new(options)) } else { Err(errors) }
    }
}

fn text(value: &RawValue) -> Result<Box<str>, String> {
    match serde_json::from_str::<Box<str>>(value.get()) {
        Ok(text) if !text.trim().is_empty() => Ok(text),
        Ok(_) => Err("Input should not be blank".to_owned()),
        Err(_) => Err("Input should be a valid string".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(json: &str, policy: &OptionPolicy) -> Result<Arc<CompletionOptions>, Vec<String>> {
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).expect("an object");
        let members = members
            .into_iter()
            .map(|(name, value)| (name, serde_json::value::to_raw_value(&value).expect("JSON")))
            .collect();
        CompletionOptions::judge(members, policy).map_err(|errors| errors.into_iter().map(|error| error.name).collect())
    }

    #[test]
    fn every_listed_option_passes_and_keeps_its_value() {
        for name in PASSED_ON.iter().filter(|name| **name != "model") {
            let options =
                judge(&format!(r#"{{"{name}": {{"a":[1.50]}}}}"#), &OptionPolicy::default()).expect("allowed");
            assert_eq!(&*options.rest[0].0, *name);
        }
    }

    #[test]
    fn what_decides_who_pays_never_passes_even_if_configured() {
        let policy =
            OptionPolicy { extra: NEVER_PASSED.iter().map(ToString::to_string).collect(), ..Default::default() };
        for name in NEVER_PASSED {
            assert_eq!(judge(&format!(r#"{{"{name}": 1}}"#), &policy).map(|_| ()), Err(vec![name.to_string()]));
        }
    }

    #[test]
    fn unknown_options_are_named_all_at_once_and_the_operator_can_allow_them() {
        assert_eq!(
            judge(r#"{"a": 1, "b": 2, "top_p": 1}"#, &OptionPolicy::default()).map(|_| ()),
            Err(vec!["a".into(), "b".into()])
        );
        let policy = OptionPolicy { extra: ["a".to_owned()].into(), ..Default::default() };
        assert!(judge(r#"{"a": 1}"#, &policy).is_ok());
    }

    #[test]
    fn null_is_absent_and_models_are_bounded() {
        let policy = OptionPolicy { models: ["m/1".to_owned()].into(), ..Default::default() };
        let options =
            judge(r#"{"model": null, "unheard_of": null, "tool_name": "read"}"#, &policy).expect("all absent");
        assert_eq!((options.model.as_deref(), options.tool_name.as_deref()), (None, Some("read")));
        assert!(judge(r#"{"model": "m/1"}"#, &policy).is_ok());
        for bad in [r#"{"model": "m/2"}"#, r#"{"model": 1}"#, r#"{"model": " "}"#, r#"{"tool_name": []}"#] {
            assert!(judge(bad, &policy).is_err(), "{bad}");
        }
    }
}
