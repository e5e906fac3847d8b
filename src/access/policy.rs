//! What the owner of an access key may reach: providers and models, which credentials the request
//! may go on with, and whether it fails over. As written ([`PolicyEntry`], in the store), then as
//! checked ([`Policy`]).
//!
//! A rule is a name, or a pattern with `*` for any run of characters. Deny beats allow, and an
//! empty allow list allows all. Allow and step rules are exact in case. A deny rule ignores the
//! case of ASCII letters, because some upstreams do, and `GPT-4o` must not get past a ban of
//! `gpt-4o`.
//!
//! A model rule with a `:` is held against `provider:model` and against the model's id alone (ids
//! such as `llama3.2:1b` have a `:` of their own); a rule without one against the id alone, so that
//! the rule `openai*` means models of that name and not everything OpenAI has.
//!
//! Provider ids are those of the catalog. Aliases are resolved by whoever asks.
//!
//! Absent: what is used of the limits ([`super::allowance`], and the ledger).

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::glob::{BadPattern, Case, Glob, PATTERN_BYTES_MAX, Text};
use super::limits::{LimitsEntry, OutOfRange};
pub use super::steps::Step;
use super::times::TimesEntry;

/// Rules one list may have. They are tried one after the other on every request.
pub const RULES_MAX: usize = 256;

/// What a key that says nothing of steps goes on with.
const DEFAULT_STEPS: [Step; 2] = [Step::Byok, Step::Gateway];

/// Steps of one list. Each is looked at for every candidate of a request.
const STEPS_MAX: usize = 16;

/// May a request that failed be tried elsewhere?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FailoverMode {
    /// Yes, up to the first byte of a response.
    On,
    /// Yes, but what was delivered is not sent again unless the upstream answered.
    Safe,
    /// No.
    Off,
}

impl FailoverMode {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Safe => "safe",
            Self::Off => "off",
        }
    }
}

impl FromStr for FailoverMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::On, Self::Safe, Self::Off]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or("failover is on, safe or off")
    }
}

/// A policy as it is written. A member this version does not know is an error: it might forbid
/// something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyEntry {
    /// Only these providers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns")]
    pub allow_providers: Vec<String>,
    /// None of these providers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns")]
    pub deny_providers: Vec<String>,
    /// Only these models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns")]
    pub allow_models: Vec<String>,
    /// None of these models.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns")]
    pub deny_models: Vec<String>,
    /// Credential steps where no rule below says otherwise; absent: `byok`, `gateway`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "steps_or_none")]
    pub credential_steps: Option<Vec<Step>>,
    /// Steps by provider; the first rule that matches decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = RULES_MAX))]
    pub provider_steps: Vec<StepsEntry>,
    /// Steps by model; the first rule that matches decides, before any by provider.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = RULES_MAX))]
    pub model_steps: Vec<StepsEntry>,
    /// Once a request has come to a provider that the account has a stored key for, it goes on with none of the
    /// operator's.
    #[serde(skip_serializing_if = "is_false")]
    pub no_fallback: bool,
    /// Absent: what the configuration says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failover: Option<FailoverMode>,
    /// Bounds on the times of its requests, within those of the configuration.
    #[serde(skip_serializing_if = "TimesEntry::is_empty")]
    pub timeouts: TimesEntry,
    /// What may be used in a time.
    #[serde(skip_serializing_if = "LimitsEntry::is_empty")]
    pub limits: LimitsEntry,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Credential steps for what `rule` matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepsEntry {
    /// A name or a pattern.
    #[schemars(schema_with = "pattern")]
    pub rule: String,
    /// Tried in this order.
    #[schemars(schema_with = "steps")]
    pub steps: Vec<Step>,
}

/// What [`Glob::new`] takes, for a schema.
fn pattern(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": PATTERN_BYTES_MAX,
        "pattern": r"^[^\s\x00-\x1f\x7f-\x9f]+$",
    })
}

/// A list of rules, for a schema.
fn patterns(schemas: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": RULES_MAX, "items": pattern(schemas)})
}

/// Steps, for a schema.
fn steps(schemas: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": STEPS_MAX,
        "uniqueItems": true,
        "items": schemas.subschema_for::<Step>(),
    })
}

/// Steps, or null, for a schema.
fn steps_or_none(schemas: &mut SchemaGenerator) -> Schema {
    let mut schema = steps(schemas);
    schema.insert("type".to_owned(), serde_json::json!(["array", "null"]));
    schema
}

/// What a policy says of one provider and model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Allowed,
    /// No model of this provider.
    ProviderDenied,
    /// The provider, but not this model.
    ModelDenied,
}

/// A rule of a policy: the list it stands in, and its pattern.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'p> {
    /// The member of [`PolicyEntry`] that holds it.
    pub member: &'static str,
    pattern: &'p Glob,
}

impl<'p> Rule<'p> {
    fn new(member: &'static str, pattern: &'p Glob) -> Self {
        Self { member, pattern }
    }
}

impl fmt::Display for Rule<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} `{}`", self.member, self.pattern)
    }
}

/// A verdict and what led to it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'p> {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule that matched. None where everything is allowed, and where an allow list has no rule that fits.
    pub rule: Option<Rule<'p>>,
}

impl<'p> Judged<'p> {
    fn new(verdict: Verdict, rule: Option<Rule<'p>>) -> Self {
        Self { verdict, rule }
    }
}

/// A policy as checked. Asking it allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    allow_providers: Box<[Glob]>,
    deny_providers: Box<[Glob]>,
    allow_models: Box<[ModelRule]>,
    deny_models: Box<[ModelRule]>,
    steps: Box<[Step]>,
    provider_steps: StepRules<Glob>,
    model_steps: StepRules<ModelRule>,
    no_fallback: bool,
    failover: Option<FailoverMode>,
    times: TimesEntry,
    limits: LimitsEntry,
}

impl Default for Policy {
    /// Everything is allowed, with the default steps.
    fn default() -> Self {
        Self {
            allow_providers: Box::default(),
            deny_providers: Box::default(),
            allow_models: Box::default(),
            deny_models: Box::default(),
            steps: DEFAULT_STEPS.into(),
            provider_steps: Box::default(),
            model_steps: Box::default(),
            no_fallback: false,
            failover: None,
            times: TimesEntry::default(),
            limits: LimitsEntry::default(),
        }
    }
}

impl Policy {
    /// Checks a policy as written.
    ///
    /// # Errors
    /// The first mistake found, with the member it stands in.
    pub fn new(entry: &PolicyEntry) -> Result<Self, PolicyFault> {
        if let Some(time) = entry.timeouts.fault() {
            return Err(PolicyFault::Time { time });
        }
        entry.limits.check().map_err(PolicyFault::Limit)?;
        let default_steps = entry.credential_steps.as_deref().unwrap_or(&DEFAULT_STEPS);
        Ok(Self {
            allow_providers: rules("allow_providers", &entry.allow_providers, exact)?,
            deny_providers: rules("deny_providers", &entry.deny_providers, any_case)?,
            allow_models: rules("allow_models", &entry.allow_models, ModelRule::exact)?,
            deny_models: rules("deny_models", &entry.deny_models, ModelRule::any_case)?,
            steps: checked_steps("credential_steps", default_steps)?,
            provider_steps: step_rules("provider_steps", &entry.provider_steps, exact)?,
            model_steps: step_rules("model_steps", &entry.model_steps, ModelRule::exact)?,
            no_fallback: entry.no_fallback,
            failover: entry.failover,
            times: entry.timeouts,
            limits: entry.limits,
        })
    }

    /// May `model` be asked of `provider`?
    #[must_use]
    pub fn permits(&self, provider: &str, model: &str) -> Verdict {
        self.permits_named(provider, &[model])
    }

    /// May a model be asked of `provider` that goes by all of `names`, as its catalog id and the
    /// provider's own? One name that is allowed suffices, and one that is denied.
    #[must_use]
    pub fn permits_named(&self, provider: &str, names: &[&str]) -> Verdict {
        self.judge(provider, names).verdict
    }

    /// As [`Policy::permits_named`], with the rule that decided.
    #[must_use]
    pub fn judge(&self, provider: &str, names: &[&str]) -> Judged<'_> {
        let denied = first_provider("deny_providers", &self.deny_providers, provider);
        if denied.is_some() {
            return Judged::new(Verdict::ProviderDenied, denied);
        }
        let by_provider = first_provider("allow_providers", &self.allow_providers, provider);
        if by_provider.is_none() && !self.allow_providers.is_empty() {
            return Judged::new(Verdict::ProviderDenied, None);
        }
        let denied = first_model("deny_models", &self.deny_models, provider, names);
        if denied.is_some() {
            return Judged::new(Verdict::ModelDenied, denied);
        }
        let by_model = first_model("allow_models", &self.allow_models, provider, names);
        if by_model.is_none() && !self.allow_models.is_empty() {
            return Judged::new(Verdict::ModelDenied, None);
        }
        Judged::new(Verdict::Allowed, by_model.or(by_provider))
    }

    /// Whether there are rules about models: what names none cannot be held against them.
    #[must_use]
    pub fn rules_models(&self) -> bool {
        !self.allow_models.is_empty() || !self.deny_models.is_empty()
    }

    /// Whose credentials `model` of `provider` may go on with, in this order; never empty.
    #[must_use]
    pub fn steps_for(&self, provider: &str, model: &str) -> &[Step] {
        self.steps_for_named(provider, &[model])
    }

    /// As [`Policy::steps_for`], for a model that goes by all of `names`.
    #[must_use]
    pub fn steps_for_named(&self, provider: &str, names: &[&str]) -> &[Step] {
        self.steps_by_rule(provider, names).0
    }

    /// As [`Policy::steps_for_named`], with the rule that says so where it is not the default.
    #[must_use]
    pub fn steps_by_rule(&self, provider: &str, names: &[&str]) -> (&[Step], Option<Rule<'_>>) {
        let by_model = self
            .model_steps
            .iter()
            .find(|(rule, _)| rule.matches_any(provider, names));
        if let Some((rule, steps)) = by_model {
            return (steps, Some(Rule::new("model_steps", &rule.glob)));
        }
        let by_provider = self
            .provider_steps
            .iter()
            .find(|(rule, _)| rule.matches(&provider));
        match by_provider {
            Some((rule, steps)) => (steps, Some(Rule::new("provider_steps", rule))),
            None => (&self.steps, None),
        }
    }

    /// Whether a request that has come to a provider which the account has a stored key for goes on with none of the
    /// operator's.
    #[must_use]
    pub fn no_fallback(&self) -> bool {
        self.no_fallback
    }

    /// The key's own failover mode; `None`: what the configuration says.
    #[must_use]
    pub fn failover(&self) -> Option<FailoverMode> {
        self.failover
    }

    /// The key's own bounds on times; the narrower one holds of these and those of the configuration.
    #[must_use]
    pub fn times(&self) -> &TimesEntry {
        &self.times
    }

    /// What may be used in a time.
    #[must_use]
    pub fn limits(&self) -> &LimitsEntry {
        &self.limits
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ModelRule {
    glob: Glob,
    /// Written with a `:`, so it may mean `provider:model`.
    qualified: bool,
}

impl ModelRule {
    fn exact(pattern: &str) -> Result<Self, BadPattern> {
        exact(pattern).map(|glob| Self::new(glob, pattern))
    }

    fn any_case(pattern: &str) -> Result<Self, BadPattern> {
        any_case(pattern).map(|glob| Self::new(glob, pattern))
    }

    fn new(glob: Glob, pattern: &str) -> Self {
        Self {
            glob,
            qualified: pattern.contains(':'),
        }
    }

    fn matches_any(&self, provider: &str, names: &[&str]) -> bool {
        names.iter().any(|model| {
            self.glob.matches(model)
                || self.qualified && self.glob.matches(&Qualified { provider, model })
        })
    }
}

/// `provider:model`, without joining them.
struct Qualified<'a> {
    provider: &'a str,
    model: &'a str,
}

impl Text for Qualified<'_> {
    fn length(&self) -> usize {
        self.provider.len() + 1 + self.model.len()
    }

    fn at(&self, at: usize) -> u8 {
        let colon = self.provider.len();
        match at.checked_sub(colon) {
            None => self.provider.as_bytes()[at],
            Some(0) => b':',
            Some(past) => self.model.as_bytes()[past - 1],
        }
    }
}

fn first_provider<'p>(member: &'static str, rules: &'p [Glob], provider: &str) -> Option<Rule<'p>> {
    let found = rules.iter().find(|rule| rule.matches(&provider))?;
    Some(Rule::new(member, found))
}

fn first_model<'p>(
    member: &'static str,
    rules: &'p [ModelRule],
    provider: &str,
    names: &[&str],
) -> Option<Rule<'p>> {
    let found = rules
        .iter()
        .find(|rule| rule.matches_any(provider, names))?;
    Some(Rule::new(member, &found.glob))
}

fn exact(pattern: &str) -> Result<Glob, BadPattern> {
    Glob::new(pattern, Case::Exact)
}

fn any_case(pattern: &str) -> Result<Glob, BadPattern> {
    Glob::new(pattern, Case::Any)
}

type Member = &'static str;

type StepRules<R> = Box<[(R, Box<[Step]>)]>;

fn rules<R>(
    member: Member,
    patterns: &[String],
    rule: impl Fn(&str) -> Result<R, BadPattern>,
) -> Result<Box<[R]>, PolicyFault> {
    within_limit(member, patterns.len())?;
    patterns
        .iter()
        .map(|pattern| checked_rule(member, pattern, &rule))
        .collect()
}

fn step_rules<R>(
    member: Member,
    entries: &[StepsEntry],
    rule: impl Fn(&str) -> Result<R, BadPattern>,
) -> Result<StepRules<R>, PolicyFault> {
    within_limit(member, entries.len())?;
    let checked = |entry: &StepsEntry| {
        let steps = checked_steps(member, &entry.steps)?;
        Ok((checked_rule(member, &entry.rule, &rule)?, steps))
    };
    entries.iter().map(checked).collect()
}

fn checked_rule<R>(
    member: Member,
    pattern: &str,
    rule: impl Fn(&str) -> Result<R, BadPattern>,
) -> Result<R, PolicyFault> {
    rule(pattern).map_err(|fault| PolicyFault::Pattern {
        member,
        pattern: pattern.into(),
        fault,
    })
}

fn checked_steps(member: Member, steps: &[Step]) -> Result<Box<[Step]>, PolicyFault> {
    let twice = (1..steps.len()).any(|at| steps[..at].contains(&steps[at]));
    if steps.is_empty() || twice || steps.len() > STEPS_MAX {
        return Err(PolicyFault::Steps { member });
    }
    Ok(steps.into())
}

fn within_limit(member: Member, count: usize) -> Result<(), PolicyFault> {
    if count > RULES_MAX {
        return Err(PolicyFault::TooMany { member });
    }
    Ok(())
}

/// What is wrong in a policy as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyFault {
    /// A rule that is no pattern.
    Pattern {
        /// The list it is in.
        member: &'static str,
        /// As written.
        pattern: Box<str>,
        /// Why not.
        fault: BadPattern,
    },
    /// A list of steps that is empty, names one twice, or has more than sixteen.
    Steps {
        /// Where.
        member: &'static str,
    },
    /// A limit that is out of its range.
    Limit(OutOfRange),
    /// A time that is out of its range.
    Time {
        /// Which.
        time: &'static str,
    },
    /// A list of more than [`RULES_MAX`] rules.
    TooMany {
        /// Which.
        member: &'static str,
    },
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern {
                member,
                pattern,
                fault,
            } => {
                write!(out, "{member}: the rule {pattern:?} {fault}")
            }
            Self::Limit(fault) => fault.fmt(out),
            Self::Time { time } => write!(out, "timeouts: {time} must be from 1ms to 1d"),
            Self::Steps { member } => {
                write!(
                    out,
                    "{member}: name request, byok, byok:NAME or gateway, each once at the most, and at most {STEPS_MAX}"
                )
            }
            Self::TooMany { member } => write!(out, "{member}: more than {RULES_MAX} rules"),
        }
    }
}

impl std::error::Error for PolicyFault {}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests read JSON of their own")]
mod tests {
    use super::*;

    fn policy(json: &str) -> Policy {
        Policy::new(&serde_json::from_str(json).unwrap()).unwrap()
    }

    /// Each line: what is asked, and the first letters of the verdict.
    fn check(json: &str, expected: &[(&str, &str, Verdict)]) {
        let policy = policy(json);
        for (provider, model, verdict) in expected {
            assert_eq!(
                policy.permits(provider, model),
                *verdict,
                "{json}: {provider}:{model}"
            );
        }
    }

    use Verdict::{Allowed, ModelDenied, ProviderDenied};

    #[test]
    fn an_empty_policy_allows_everything() {
        check("{}", &[("openai", "gpt-4o", Allowed), ("", "", Allowed)]);
        assert_eq!(policy("{}"), Policy::default());
    }

    #[test]
    fn providers_are_allowed_and_denied() {
        check(
            r#"{"allow_providers":["openai","azure-*"],"deny_providers":["azure-eu"]}"#,
            &[
                ("openai", "any", Allowed),
                ("azure-us", "any", Allowed),
                ("azure-eu", "any", ProviderDenied),
                ("anthropic", "any", ProviderDenied),
                ("OpenAI", "any", ProviderDenied),
            ],
        );
        check(
            r#"{"deny_providers":["groq"]}"#,
            &[
                ("groq", "x", ProviderDenied),
                ("Groq", "x", ProviderDenied),
                ("groq2", "x", Allowed),
            ],
        );
    }

    #[test]
    fn models_are_allowed_by_id_or_with_their_provider() {
        check(
            r#"{"allow_models":["gpt-4o","openrouter:*","llama3.2:1b"]}"#,
            &[
                ("openai", "gpt-4o", Allowed),
                ("azure", "gpt-4o", Allowed),
                ("openai", "gpt-4o-mini", ModelDenied),
                ("openai", "GPT-4o", ModelDenied),
                ("openrouter", "anthropic/claude-3.5-sonnet", Allowed),
                ("ollama", "llama3.2:1b", Allowed),
                ("ollama", "llama3.2", ModelDenied),
                ("llama3.2", "1b", Allowed),
            ],
        );
    }

    #[test]
    fn a_rule_without_a_colon_never_spans_the_provider() {
        check(
            r#"{"allow_models":["openai*"]}"#,
            &[
                ("openai", "gpt-4o", ModelDenied),
                ("x", "openai-1", Allowed),
            ],
        );
        check(
            r#"{"deny_models":["open*"]}"#,
            &[("openai", "gpt-4o", Allowed)],
        );
    }

    #[test]
    fn deny_beats_allow_and_ignores_case() {
        check(
            r#"{"allow_models":["*"],"deny_models":["openai:gpt-4*","*:free"]}"#,
            &[
                ("openai", "gpt-4o", ModelDenied),
                ("openai", "GPT-4o", ModelDenied),
                ("azure", "gpt-4o", Allowed),
                ("openrouter", "deepseek/deepseek-r1:free", ModelDenied),
                ("openai", "o3", Allowed),
            ],
        );
    }

    #[test]
    fn the_provider_is_named_before_the_model() {
        check(
            r#"{"deny_providers":["groq"],"deny_models":["*"]}"#,
            &[("groq", "x", ProviderDenied), ("openai", "x", ModelDenied)],
        );
    }

    #[test]
    fn a_model_of_two_names_is_denied_by_either_and_allowed_by_either() {
        let names = ["gpt-4o", "openai/gpt-4o"];
        for (json, verdict) in [
            (r#"{"deny_models":["gpt-4o"]}"#, ModelDenied),
            (r#"{"deny_models":["openrouter:openai/*"]}"#, ModelDenied),
            (r#"{"allow_models":["gpt-4o"]}"#, Allowed),
            (r#"{"allow_models":["openai/gpt-4o"]}"#, Allowed),
            (r#"{"allow_models":["gpt-4"]}"#, ModelDenied),
        ] {
            assert_eq!(
                policy(json).permits_named("openrouter", &names),
                verdict,
                "{json}"
            );
        }
    }

    #[test]
    fn a_model_rule_of_steps_beats_a_provider_rule() {
        use Step::{Byok, Gateway, Request};
        let policy = policy(
            r#"{"credential_steps":["byok"],
                "provider_steps":[{"rule":"openai","steps":["request"]},
                                  {"rule":"*","steps":["gateway"]}],
                "model_steps":[{"rule":"openai:gpt-*","steps":["gateway","byok"]},
                               {"rule":"gpt-4o","steps":["request"]}]}"#,
        );
        assert_eq!(policy.steps_for("openai", "gpt-4o"), [Gateway, Byok]);
        assert_eq!(policy.steps_for("azure", "gpt-4o"), [Request]);
        assert_eq!(policy.steps_for("openai", "o3"), [Request]);
        assert_eq!(policy.steps_for("groq", "o3"), [Gateway]);
        assert_eq!(policy.steps_for_named("groq", &["x", "gpt-4o"]), [Request]);
        assert_eq!(
            Policy::default().steps_for("openai", "gpt-4o"),
            [Byok, Gateway]
        );
        let only_byok = Policy::new(&PolicyEntry {
            credential_steps: Some(vec![Byok]),
            ..Default::default()
        });
        assert_eq!(only_byok.unwrap().steps_for("a", "b"), [Byok]);
    }

    #[test]
    fn a_policy_survives_being_written() {
        let text = concat!(
            r#"{"allow_models":["gpt-*"],"credential_steps":["byok"],"#,
            r#""provider_steps":[{"rule":"openai","steps":["byok:eu","gateway"]}],"no_fallback":true,"failover":"safe"}"#,
        );
        let entry: PolicyEntry = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        assert_eq!(
            Policy::new(&entry).unwrap().failover(),
            Some(FailoverMode::Safe)
        );
        assert_eq!(
            serde_json::to_string(&PolicyEntry::default()).unwrap(),
            "{}"
        );
    }

    #[test]
    fn members_and_words_of_a_later_version_are_refused() {
        for text in [
            r#"{"deny_regions":["eu"]}"#,
            r#"{"failover":"maybe"}"#,
            r#"{"credential_steps":["loan"]}"#,
            r#"{"credential_steps":["byok:"]}"#,
            r#"{"model_steps":[{"rule":"a","steps":["byok"],"until":"x"}]}"#,
        ] {
            assert!(serde_json::from_str::<PolicyEntry>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let many = format!(r#"{{"deny_models":[{}"x"]}}"#, r#""x","#.repeat(RULES_MAX));
        for (text, expected) in [
            (
                r#"{"allow_models":[""]}"#,
                r#"allow_models: the rule "" is empty; write * for everything"#,
            ),
            (
                r#"{"deny_providers":["a b"]}"#,
                r#"deny_providers: the rule "a b" has a blank or a control character"#,
            ),
            (
                r#"{"credential_steps":[]}"#,
                "credential_steps: name request, byok, byok:NAME or gateway, each once at the most, and at most 16",
            ),
            (
                r#"{"model_steps":[{"rule":"a","steps":["byok","byok"]}]}"#,
                "model_steps: name request, byok, byok:NAME or gateway, each once at the most, and at most 16",
            ),
            (&many, "deny_models: more than 256 rules"),
            (
                r#"{"limits":{"requests_minute":0}}"#,
                "limits: requests_minute must be from 1 to 1000000000",
            ),
        ] {
            let entry: PolicyEntry = serde_json::from_str(text).unwrap();
            assert_eq!(Policy::new(&entry).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for mode in [FailoverMode::On, FailoverMode::Safe, FailoverMode::Off] {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        assert!("".parse::<FailoverMode>().is_err());
    }
}
