//! What led to a decision, by a stable word and in words for people.

use crate::access::policy::{Step, Verdict};
use crate::byok::keys::ProviderKeys;
use crate::catalog::{Form, Unresolved};
use crate::proxy::candidates::{Dropped, Kept};
use crate::proxy::steps::Barred;
use crate::surface::Surface;

/// The rule that read a name.
pub(super) fn form(form: Form) -> (&'static str, &'static str) {
    match form {
        Form::Prefixed => (
            "prefix",
            "`provider:model`; what stands before the first colon is a provider, and only that one is asked",
        ),
        Form::Virtual => (
            "virtual",
            "a virtual model: the operator's name for a list, tried in its order",
        ),
        Form::Exact => (
            "exact",
            "the id or an alias of a model in the catalog; providers whose default it is come first, then ids before aliases, in the catalog's order",
        ),
        Form::Family => (
            "family",
            "a family: the same model at every provider that has it, each under its own id",
        ),
        Form::AnyCase => (
            "any_case",
            "the id or an alias of a model in the catalog, or a family, in other letter case",
        ),
        Form::Slashed => (
            "slash",
            "`provider/model`; what stands before the first slash is a provider, and only that one is asked",
        ),
        Form::Author => (
            "author",
            "`author/model`: what follows the slash, of the models of that author",
        ),
        Form::Pinned => (
            "pinned",
            "not in the catalog; the provider that path or header name is to make sense of it",
        ),
    }
}

/// Why a name means nothing.
pub(super) fn meaningless(why: Unresolved) -> &'static str {
    match why {
        Unresolved::Unknown => {
            "means nothing: no provider, virtual model, id or alias is called that"
        }
        Unresolved::NotAtProvider => "a virtual model that has no model at the provider asked for",
        Unresolved::TooLong => "longer than any name can be",
    }
}

/// Why something is not tried.
pub(super) fn dropped(why: Dropped<'_>, surface: Surface) -> (&'static str, String) {
    match why {
        Dropped::SwitchedOff => (
            "provider_disabled",
            "the operator has switched its provider off".to_owned(),
        ),
        Dropped::Surface => ("surface", format!("is not served on `{}`", surface.name())),
        Dropped::Policy(judged) => {
            let by = match (judged.rule, judged.verdict) {
                (Some(rule), _) => rule.to_string(),
                (None, Verdict::ProviderDenied) => "no rule of allow_providers fits it".to_owned(),
                (None, _) => "no rule of allow_models fits it".to_owned(),
            };
            ("policy", format!("the access key may not use it: {by}"))
        }
        Dropped::Repeated => ("repeated", "stands above already".to_owned()),
        Dropped::NoCredential(steps, barred) => {
            let steps: Vec<&str> = steps.iter().map(Step::as_str).collect();
            let steps = steps.join(", ");
            let mut because = format!("there is no key for its provider at the steps {steps}");
            if let Some(why) = barred {
                because = format!("{because}; {}", not_on_credit(why));
            }
            ("no_credential", because)
        }
        Dropped::Unpaid(why) => (
            "not_on_credit",
            format!("the gateway's keys do not pay for it: {}", why.words()),
        ),
        Dropped::Elsewhere(member) => (
            "elsewhere",
            format!("`{member}` refers to what one provider keeps, and another is tried first"),
        ),
        Dropped::TooMany => (
            "too_many",
            "there are as many candidates as there may be".to_owned(),
        ),
    }
}

/// Why the operator's keys are left out.
fn not_on_credit(why: Barred) -> &'static str {
    match why {
        Barred::ByStoredKey => {
            "the gateway's keys are not used: the account has a stored key for this provider that does not fall back"
        }
        Barred::ByPolicy => {
            "the gateway's keys are not used: the access key does not fall back once a stored key was there to try"
        }
    }
}

/// What else there is to say of the credentials of a candidate.
pub(super) fn notes(kept: &Kept<'_>) -> Vec<String> {
    let unusable = kept.stored.map_or(&[][..], ProviderKeys::unusable);
    let unusable = unusable
        .iter()
        .map(|name| format!("the stored key {name} cannot be opened: the gateway's log says why"));
    let barred = kept.barred.map(|why| not_on_credit(why).to_owned());
    let unpaid = kept
        .unpaid
        .map(|why| format!("the gateway's keys do not pay for it: {}", why.words()));
    unusable.chain(barred).chain(unpaid).collect()
}
