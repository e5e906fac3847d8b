//! Which headers of a client reach a provider: the one table of it, which `docs/headers.md` shows.
//!
//! On a key of the caller's own, and where no key is needed, all do that concern both ends. On the gateway's key only
//! those that are listed do: accounts share it, and a header that nobody here knows may choose whose money is spent, at
//! which price, or whose data is read.
//!
//! The table is looked up by a perfect hash that is found when this is compiled: one comparison a header.

use Passes::{Always, Never, OnOwn};

/// The prefix of Tollgate's own headers.
pub const OWN_PREFIX: &str = "tollgate-";

/// What the headers begin with by which SDKs say what they are.
pub(super) const STAINLESS: &str = "x-stainless-";

/// On which credentials a header reaches the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// On none.
    Never,
    /// On `byok`, `request` and `none`; not on the gateway's.
    OnOwn,
    /// On every one.
    Always,
}

/// Headers that are treated alike, and why.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// On which credentials they pass.
    pub passes: Passes,
    /// What they have in common, in words of the documentation.
    pub what: &'static str,
    /// Their names, in lower case.
    pub names: &'static [&'static str],
    /// What other names begin with.
    pub prefixes: &'static [&'static str],
}

const fn rule(passes: Passes, what: &'static str, names: &'static [&'static str]) -> Rule {
    Rule {
        passes,
        what,
        names,
        prefixes: &[],
    }
}

impl Rule {
    const fn and(self, prefixes: &'static [&'static str]) -> Self {
        Self { prefixes, ..self }
    }
}

/// What none of the rules names.
pub const OTHERS: Passes = OnOwn;

/// The table. No name is in it twice.
pub const RULES: &[Rule] = &[
    rule(
        Never,
        "The client's credentials; the provider's own is put in its place",
        &["authorization", "x-api-key", "api-key", "x-goog-api-key"],
    ),
    rule(Never, "What is said to Tollgate", &[]).and(&[OWN_PREFIX]),
    rule(
        Never,
        "What concerns one connection (RFC 9110, section 7.6.1), and whatever `Connection` names",
        &[
            "connection",
            "http2-settings",
            "keep-alive",
            "proxy-authenticate",
            "proxy-authorization",
            "proxy-connection",
            "te",
            "trailer",
            "upgrade",
        ],
    ),
    rule(
        Never,
        "Answered by Tollgate, which reads the body",
        &["expect"],
    ),
    rule(
        Always,
        "Made anew for the provider",
        &["content-length", "host", "transfer-encoding"],
    ),
    rule(
        Always,
        "The body, and which answers are understood",
        &[
            "accept",
            "accept-encoding",
            "accept-language",
            "content-encoding",
            "content-language",
            "content-type",
        ],
    ),
    rule(
        Always,
        "Anthropic's versions and switches, byte for byte, those not made yet included; but for names that end in `-id`",
        &["anthropic-beta", "anthropic-version"],
    )
    .and(&["anthropic-"]),
    rule(Always, "OpenAI's switches", &["openai-beta"]),
    rule(
        Always,
        "Google's version, and how long its client waits",
        &["api-revision", "x-server-timeout"],
    ),
    rule(
        Always,
        "Which client asks, and how often it has tried",
        &["originator", "user-agent", "version", "x-app", "x-goog-api-client", "x-openai-subagent"],
    )
    .and(&[STAINLESS, "x-claude-code-", "x-codex-"]),
    rule(
        Always,
        "Which session a request is of, for caches of prompts",
        &[
            "conversation-id",
            "conversation_id",
            "session-id",
            "session_id",
            "x-grok-conv-id",
            "x-session-id",
        ],
    ),
    rule(
        Always,
        "The application, as OpenRouter shows it",
        &["http-referer", "x-openrouter-title", "x-title"],
    ),
    rule(
        Always,
        "Tracing",
        &[
            "traceparent",
            "tracestate",
            "x-client-request-id",
            "x-ms-client-request-id",
            "x-request-id",
        ],
    ),
    rule(Always, "WebSockets, less a key among the subprotocols, and less extensions where a conversation is charged", &[]).and(&["sec-websocket-"]),
    rule(
        OnOwn,
        "Whose money or data it is",
        &[
            "anthropic-organization-id",
            "anthropic-user-profile-id",
            "anthropic-workspace-id",
            "chatgpt-account-id",
            "cookie",
            "ocp-apim-subscription-key",
            "openai-organization",
            "openai-project",
            "x-goog-user-project",
            "x-inference-provider",
            "x-inference-provider-api-key",
        ],
    ),
    rule(
        OnOwn,
        "At which price it is served",
        &[
            "x-amzn-bedrock-performanceconfig-latency",
            "x-amzn-bedrock-service-tier",
            "x-vertex-ai-llm-request-type",
            "x-vertex-ai-llm-shared-request-type",
        ],
    ),
    rule(
        OnOwn,
        "Would leave out of the answer what was used",
        &["x-goog-fieldmask"],
    ),
    rule(
        OnOwn,
        "Would give one account the answer to another's request of the same key",
        &["idempotency-key", "x-idempotency-key"],
    ),
    rule(
        OnOwn,
        "Who is behind the client, and what its own services tell each other",
        &[
            "baggage",
            "forwarded",
            "origin",
            "referer",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-real-ip",
        ],
    ),
];

/// On which credentials a header of this name, in lower case, reaches the provider.
#[must_use]
pub fn passes(name: &str) -> Passes {
    // Half of what SDKs send: they are spared the table and the list.
    if name.starts_with(STAINLESS) {
        return Always;
    }
    let bytes = name.as_bytes();
    if let Some((known, passes)) = NAMES.get(usize::from(SLOTS[slot(bytes, SEED)]))
        && *known == name
    {
        return *passes;
    }
    // The few that prefixes are for begin with one of these.
    if !matches!(bytes.first(), Some(b'a' | b's' | b't' | b'x')) {
        return OTHERS;
    }
    match PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        // Of Anthropic's those that name somebody's own.
        Some(_) if name.starts_with("anthropic-") && name.ends_with("-id") => OnOwn,
        Some((_, passes)) => *passes,
        None => OTHERS,
    }
}

/// Every name, and on which credentials it passes.
const NAMES: [(&str, Passes); count(true)] = {
    let mut all = [("", Never); count(true)];
    let (mut rule, mut next) = (0, 0);
    while rule < RULES.len() {
        let mut at = 0;
        while at < RULES[rule].names.len() {
            all[next] = (RULES[rule].names[at], RULES[rule].passes);
            (at, next) = (at + 1, next + 1);
        }
        rule += 1;
    }
    all
};

/// Every prefix, in the same way.
const PREFIXES: [(&str, Passes); count(false)] = {
    let mut all = [("", Never); count(false)];
    let (mut rule, mut next) = (0, 0);
    while rule < RULES.len() {
        let mut at = 0;
        while at < RULES[rule].prefixes.len() {
            all[next] = (RULES[rule].prefixes[at], RULES[rule].passes);
            (at, next) = (at + 1, next + 1);
        }
        rule += 1;
    }
    all
};

/// How many names the rules have, or how many prefixes.
const fn count(names: bool) -> usize {
    let (mut rule, mut count) = (0, 0);
    while rule < RULES.len() {
        count += if names {
            RULES[rule].names.len()
        } else {
            RULES[rule].prefixes.len()
        };
        rule += 1;
    }
    count
}

/// Places of the table that names are looked up in.
const SIZE: usize = 1024;

/// In a place where no name is.
const NONE: u8 = u8::MAX;

/// With this seed no two names have the same place.
const SEED: u32 = {
    let mut seed = 1;
    while slots(seed).is_none() {
        seed += 2;
    }
    seed
};

/// For each place the position of its name in [`NAMES`].
static SLOTS: [u8; SIZE] = match slots(SEED) {
    Some(slots) => slots,
    None => panic!("the seed was found with them"),
};

const fn slots(seed: u32) -> Option<[u8; SIZE]> {
    assert!(
        NAMES.len() < NONE as usize,
        "more names than places can tell"
    );
    let mut slots = [NONE; SIZE];
    let mut at = 0;
    while at < NAMES.len() {
        let slot = slot(NAMES[at].0.as_bytes(), seed);
        if slots[slot] != NONE {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "fewer names than that")]
        {
            slots[slot] = at as u8;
        }
        at += 1;
    }
    Some(slots)
}

/// The place of a name, by its length and four of its bytes, which tell all names of the table apart.
const fn slot(name: &[u8], seed: u32) -> usize {
    let length = name.len();
    if length == 0 {
        return 0;
    }
    let near_end = if length > 2 { length - 3 } else { 0 };
    let bytes = u32::from_le_bytes([name[0], name[length / 2], name[near_end], name[length - 1]]);
    let mixed = (bytes ^ (length as u32) << 13).wrapping_mul(seed.wrapping_mul(0x9E37_79B1));
    (mixed >> 22) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_every_prefix_is_found_and_nothing_like_it() {
        for rule in RULES {
            for name in rule.names {
                assert_eq!(passes(name), rule.passes, "{name}");
                assert_eq!(name.to_ascii_lowercase(), *name);
            }
            for prefix in rule.prefixes {
                assert_eq!(
                    passes(&format!("{prefix}anything")),
                    rule.passes,
                    "{prefix}"
                );
            }
        }
        for name in [
            "",
            "a",
            "accepts",
            "accept-",
            "cookies",
            "x-anything",
            "tollgate",
            "xx",
            "hose",
        ] {
            assert_eq!(passes(name), OTHERS, "{name}");
        }
    }

    #[test]
    fn no_name_has_two_rules() {
        let mut names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn prefixes_begin_with_a_letter_that_they_are_looked_for_at() {
        for (prefix, _) in PREFIXES {
            assert!(prefix.starts_with(['a', 's', 't', 'x']), "{prefix}");
        }
    }

    #[test]
    fn anthropics_switches_pass_and_its_names_of_somebodys_own_do_not() {
        for name in [
            "anthropic-beta",
            "anthropic-dangerous-direct-browser-access",
            "anthropic-new",
        ] {
            assert_eq!(passes(name), Always, "{name}");
        }
        for name in ["anthropic-workspace-id", "anthropic-vault-id"] {
            assert_eq!(passes(name), OnOwn, "{name}");
        }
    }
}
