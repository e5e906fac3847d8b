//! `tollgate completions` and `tollgate man`: what shells and readers need to know of the command line, made of itself.

use std::io::Write;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Arguments;

/// For which shell.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tollgate completions bash > /usr/share/bash-completion/completions/tollgate\n  tollgate completions zsh > ~/.zfunc/_tollgate"
)]
pub struct CompletionsOptions {
    /// Which shell
    shell: Shell,
}

/// Where to.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  tollgate man /usr/local/share/man/man1")]
pub struct ManOptions {
    /// An existing folder; pages that are there are written anew
    folder: PathBuf,
}

/// Writes the completions.
///
/// # Errors
/// When `out` cannot be written.
pub fn completions(options: &CompletionsOptions, out: &mut dyn Write) -> Result<(), Vec<String>> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(options.shell, &mut command, "tollgate", &mut script);
    out.write_all(&script).map_err(super::one)
}

/// Writes `tollgate.1`, `tollgate-serve.1` and so on.
///
/// # Errors
/// When a page cannot be written.
pub fn man(options: &ManOptions) -> Result<(), Vec<String>> {
    clap_mangen::generate_to(Arguments::command(), &options.folder)
        .map_err(|error| vec![format!("{}: {error}", options.folder.display())])
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests read back what was written"
)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_is_completed() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = ManOptions {
            folder: folder.path().to_owned(),
        };
        man(&options).expect("pages");
        let mut script = Vec::new();
        let options = CompletionsOptions { shell: Shell::Bash };
        completions(&options, &mut script).expect("a script");
        let script = String::from_utf8(script).expect("text");
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            let page = folder.path().join(format!("tollgate-{name}.1"));
            let page = std::fs::read_to_string(&page).expect(name);
            assert!(page.contains(".SH SYNOPSIS"), "{name}");
            assert!(script.contains(&format!("tollgate,{name})")), "{name}");
        }
        assert!(folder.path().join("tollgate.1").is_file());
        assert!(folder.path().join("tollgate-credit-grant.1").is_file());
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let options = ManOptions {
            folder: "/nowhere/at/all".into(),
        };
        let told = man(&options).expect_err("no folder");
        assert!(told[0].starts_with("/nowhere/at/all: "), "{told:?}");
    }
}
