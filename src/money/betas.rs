//! `anthropic-beta`: which of a request's switches change by themselves how much it can read or write. All others are
//! about something that stands in the body, and is looked at there.

/// Tokens of input that `context-1m-…` allows.
pub const LONG_INPUT: u64 = 1_000_000;

/// What the switches of a request change of a model's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Betas {
    /// `context-1m-…`: the input may have a million tokens, whatever the model's usual limit.
    pub long_input: bool,
    /// `output-128k-…` and the like: the answer may be longer than the model's usual limit.
    pub long_output: bool,
}

impl Betas {
    /// Reads the values of all lines of the header.
    pub fn of<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut betas = Self::default();
        for line in lines {
            for value in line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                betas.long_input |= begins(value, b"context-");
                betas.long_output |= begins(value, b"output-");
            }
        }
        betas
    }
}

/// In any letter case: whether the provider minds it is not known.
fn begins(value: &[u8], with: &[u8]) -> bool {
    value
        .get(..with.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(with))
        && value.get(with.len()).is_some_and(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_are_found_that_lift_a_limit() {
        let of = |lines: &[&str]| {
            let betas = Betas::of(lines.iter().map(|line| line.as_bytes()));
            (betas.long_input, betas.long_output)
        };
        for (lines, found) in [
            (&["context-1m-2025-08-07"][..], (true, false)),
            (&["a, context-1m-2025-08-07 ,b"], (true, false)),
            (&["a", "CONTEXT-1M-2025-08-07"], (true, false)),
            (&["output-128k-2025-02-19"], (false, true)),
            (
                &["output-300k-2026-03-24,context-2m-2027-01-01"],
                (true, true),
            ),
            (
                &["context-management-2025-06-27", "output-"],
                (false, false),
            ),
            (
                &["x-context-1m", "", ",,", "prompt-caching-2024-07-31"],
                (false, false),
            ),
            (&[], (false, false)),
        ] {
            assert_eq!(of(lines), found, "{lines:?}");
        }
    }
}
