//! How a command ends: the exit codes that scripts go by, and what kept it from doing what it was asked.

use std::process::ExitCode;

use clap::ValueEnum as _;

use super::keys::CliError;

/// How a command ended. The numbers are part of the interface; docs/cli.md and the man pages list them from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Exit {
    /// It is done, and what was looked at is good.
    Done,
    /// It could not be done.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// It is done, and what it found is not good.
    NotWell,
    /// No gateway answers.
    NoGateway,
}

impl Exit {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// Its stable name, which `error.code` has where nothing more is known.
    #[must_use]
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it means, in a sentence without its full stop.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => {
                "done; where something was looked at, it is good: the request would be sent, nothing gets worse, all is well"
            }
            Self::Failed => {
                "it could not be done, which standard error says why; for `check`: there are mistakes, or warnings with `--strict`"
            }
            Self::Usage => {
                "the command line makes no sense: an unknown command or option, or a value that cannot be read; nothing was done"
            }
            Self::NotWell => {
                "done, and what it found is not good. `status`: something is wrong. `explain`: the request would be refused. \
                 `catalog diff`, `check --against-running`: something gets worse for users. `credit check`: the books do not \
                 agree. `reconcile`: something differs"
            }
            Self::NoGateway => {
                "no gateway answers where one is to be asked, or what listens there is not the gateway"
            }
        }
    }

    /// How a look ended that says whether something is bad.
    #[must_use]
    pub fn of_look(is_bad: bool) -> Self {
        match is_bad {
            true => Self::NotWell,
            false => Self::Done,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// What keeps a command from doing what it was asked, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the command ends.
    pub exit: Exit,
    /// What programs go by: a code of the admin API (docs/errors.md), or the name of the exit code.
    pub code: String,
    /// Everything that is wrong, and what to do, a line each.
    pub problems: Vec<String>,
}

impl Failure {
    /// One that ends with `exit`.
    #[must_use]
    pub fn new(exit: Exit, problem: impl Into<String>) -> Self {
        Self {
            exit,
            code: exit.name(),
            problems: vec![problem.into()],
        }
    }

    /// The command line makes no sense.
    #[must_use]
    pub fn usage(problem: impl Into<String>) -> Self {
        Self::new(Exit::Usage, problem)
    }

    /// As programs read it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({"error": {
            "code": self.code,
            "message": self.problems.join("\n"),
            "problems": self.problems,
            "exit": self.exit.number(),
        }})
    }
}

impl From<Vec<String>> for Failure {
    fn from(problems: Vec<String>) -> Self {
        Self {
            exit: Exit::Failed,
            code: Exit::Failed.name(),
            problems,
        }
    }
}

impl From<CliError> for Failure {
    fn from(error: CliError) -> Self {
        match error {
            CliError::Gateway(failure) => failure,
            CliError::Usage(problem) => Self::usage(problem),
            CliError::Store(error) => Self {
                code: error.refusal().unwrap_or("store_unavailable").to_owned(),
                ..Self::new(Exit::Failed, error.to_string())
            },
            error => Self::new(Exit::Failed, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[test]
    fn the_numbers_stay() {
        let numbers: Vec<(u8, String)> = Exit::value_variants()
            .iter()
            .map(|exit| (exit.number(), exit.name()))
            .collect();
        let expected = [
            (0, "done"),
            (1, "failed"),
            (2, "usage"),
            (3, "not_well"),
            (4, "no_gateway"),
        ];
        assert_eq!(
            numbers,
            expected.map(|(number, name)| (number, name.to_owned()))
        );
    }

    #[test]
    fn a_refusal_of_the_store_has_the_code_of_the_api() {
        let failure = Failure::from(CliError::from(StoreError::UnknownAccount(7)));
        assert_eq!(
            (failure.exit, &*failure.code),
            (Exit::Failed, "unknown_account")
        );
        let told = failure.json();
        assert_eq!(told["error"]["code"], "unknown_account");
        assert_eq!(told["error"]["exit"], 1);
        assert_eq!(told["error"]["message"], failure.problems[0]);
    }
}
