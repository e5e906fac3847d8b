//! An explanation for people.

use std::fmt::{Display, Formatter, Result};

use super::{Candidate, Credential, Edit, Endpoint, Explanation, Key, Name, Refused};

/// Letters of a replaced stretch of the body that are shown: a list of models can be long.
const SHOWN: usize = 60;

impl Display for Explanation {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        head(self, out)?;
        for name in &self.names {
            read(name, out)?;
        }
        if !self.candidates.is_empty() {
            writeln!(out, "\ntried in this order")?;
        }
        for (at, candidate) in self.candidates.iter().enumerate() {
            tried(at + 1, candidate, out)?;
        }
        if !self.dropped.is_empty() {
            writeln!(out, "\nnot tried")?;
        }
        for dropped in &self.dropped {
            writeln!(out, "  -  {}: {}", dropped.model, dropped.because)?;
        }
        match &self.refused {
            Some(refused) => writeln!(out, "\nrefused: {refused}"),
            None => Ok(()),
        }
    }
}

fn head(explanation: &Explanation, out: &mut Formatter<'_>) -> Result {
    let Explanation {
        catalog,
        surface,
        key,
        failover,
        attempts_max,
        ..
    } = explanation;
    writeln!(out, "surface   {surface}")?;
    if let Some(provider) = &explanation.provider {
        writeln!(out, "provider  {provider} only, by path or header")?;
    }
    writeln!(out, "key       {key}")?;
    let attempts = if *attempts_max == 1 {
        "attempt"
    } else {
        "attempts"
    };
    writeln!(
        out,
        "failover  {failover}, {attempts_max} {attempts} at the most"
    )?;
    writeln!(out, "catalog   {catalog}")
}

impl Display for Key {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let Some(id) = &self.id else {
            return out.write_str("any without rules");
        };
        out.write_str(id)?;
        if let Some(name) = &self.name {
            write!(out, " ({name})")?;
        }
        match &self.account {
            Some(account) => write!(out, " of {account}"),
            None => Ok(()),
        }
    }
}

fn read(name: &Name, out: &mut Formatter<'_>) -> Result {
    writeln!(out, "\n`{}`: {}", name.name, name.because)?;
    if !name.means.is_empty() {
        writeln!(out, "  means {}", name.means.join(", "))?;
    }
    if !name.nearest.is_empty() {
        writeln!(out, "  like it are {}", name.nearest.join(", "))?;
    }
    Ok(())
}

fn tried(number: usize, candidate: &Candidate, out: &mut Formatter<'_>) -> Result {
    let unknown = if candidate.known {
        ""
    } else {
        "  (not in the catalog; goes on as it is written)"
    };
    writeln!(out, "{number:3}. {}{unknown}", candidate.model)?;
    let mut row = |what: &str, text: &str| writeln!(out, "     {what:11} {text}");
    for endpoint in &candidate.endpoints {
        row("POST", &endpoint.to_string())?;
    }
    let keys: Vec<String> = candidate
        .credentials
        .iter()
        .map(ToString::to_string)
        .collect();
    row("credential", &keys.join(", "))?;
    for note in &candidate.notes {
        row("", note)?;
    }
    row("sent as", &candidate.auth)?;
    let by = |rule: &Option<String>, otherwise: &str| match rule {
        Some(rule) => format!("  by {rule}"),
        None => otherwise.to_owned(),
    };
    let by_steps = by(&candidate.steps_by, "  (the key's default)");
    row(
        "steps",
        &format!("{}{by_steps}", candidate.steps.join(", ")),
    )?;
    if let Some(rule) = &candidate.allowed_by {
        row("allowed", &format!("by {rule}"))?;
    }
    row("price", &price(candidate))?;
    if candidate.edits.is_empty() && candidate.body_refused.is_none() {
        row("body", "unchanged")?;
    }
    for edit in &candidate.edits {
        row("body", &edit.to_string())?;
    }
    match &candidate.body_refused {
        Some(refused) => row("body", &format!("refused: {refused}")),
        None => Ok(()),
    }
}

impl Display for Endpoint {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "{}  ({}", self.url, self.name)?;
        match (self.state, self.probe_in_seconds) {
            ("unknown" | "ready", _) => {}
            (state, Some(0)) => write!(out, ", {state}, to be probed")?,
            (state, Some(seconds)) => write!(out, ", {state}, probed in {seconds} s")?,
            (state, None) => write!(out, ", {state}: its checks fail")?,
        }
        out.write_str(")")
    }
}

impl Display for Credential {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        if self.step == "none" {
            return out.write_str("none needed");
        }
        write!(out, "{} key {}", self.step, self.number)?;
        if let Some(name) = &self.name {
            write!(out, " {name}")?;
        }
        match (self.state, self.seconds) {
            ("unknown", _) => Ok(()),
            (_, Some(seconds)) => {
                write!(out, " (set aside for {seconds} s")?;
                match self.reason {
                    Some(reason) => write!(out, ": {reason})"),
                    None => out.write_str(")"),
                }
            }
            (state, None) => write!(out, " ({state})"),
        }
    }
}

fn price(candidate: &Candidate) -> String {
    let Some(prices) = &candidate.price else {
        return "not known".to_owned();
    };
    let amounts: Vec<String> = prices
        .0
        .iter()
        .map(|(what, amount)| format!("{what} {amount}"))
        .collect();
    format!("{} ($, tokens by the million)", amounts.join(", "))
}

impl Display for Edit {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let Self {
            name,
            offset,
            length,
            ..
        } = self;
        let end = offset + length;
        write!(out, "{name}: bytes {offset}..{end} {}", cut(&self.removed))?;
        if self.inserted.is_empty() {
            out.write_str(" are taken out")
        } else {
            write!(out, " become {}", cut(&self.inserted))
        }
    }
}

/// As much of `text` as fits a line.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Display for Refused {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "{} {}: {}", self.status, self.code, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_says_where_and_what() {
        let mut edit = Edit {
            name: "E1",
            offset: 9,
            length: 15,
            removed: "\"openai:gpt-4o\"".to_owned(),
            inserted: "\"gpt-4o\"".to_owned(),
        };
        assert_eq!(
            edit.to_string(),
            "E1: bytes 9..24 \"openai:gpt-4o\" become \"gpt-4o\""
        );
        edit.inserted.clear();
        edit.removed = "é".repeat(80);
        let text = edit.to_string();
        assert!(text.ends_with("… are taken out"), "{text}");
    }

    #[test]
    fn an_endpoint_says_how_it_is() {
        let text = |state, probe_in_seconds| {
            let endpoint = Endpoint {
                name: "a".to_owned(),
                url: "http://h/v1".to_owned(),
                state,
                probe_in_seconds,
            };
            endpoint.to_string()
        };
        assert_eq!(text("ready", None), "http://h/v1  (a)");
        assert_eq!(text("unknown", None), "http://h/v1  (a)");
        assert_eq!(
            text("ejected", Some(12)),
            "http://h/v1  (a, ejected, probed in 12 s)"
        );
        assert_eq!(
            text("ejected", Some(0)),
            "http://h/v1  (a, ejected, to be probed)"
        );
        assert_eq!(
            text("ejected", None),
            "http://h/v1  (a, ejected: its checks fail)"
        );
    }

    #[test]
    fn a_key_says_whether_it_can_be_used() {
        let credential = |state, seconds: Option<u64>| Credential {
            step: "gateway",
            number: 2,
            name: None,
            state,
            reason: seconds.map(|_| "rate_limited"),
            seconds,
        };
        let text = |state, seconds| credential(state, seconds).to_string();
        assert_eq!(text("ready", None), "gateway key 2 (ready)");
        assert_eq!(
            text("set_aside", Some(12)),
            "gateway key 2 (set aside for 12 s: rate_limited)"
        );
        assert_eq!(text("unknown", None), "gateway key 2");
        let named = Credential {
            name: Some("spare".to_owned()),
            ..credential("ready", None)
        };
        assert_eq!(named.to_string(), "gateway key 2 spare (ready)");
    }
}
