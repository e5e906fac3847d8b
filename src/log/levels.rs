//! How much is told of what, by module. A module is named as `target` names it in the lines; what is said of one holds for
//! those in it, and the longest name that fits decides.

use std::collections::BTreeMap;

use ::log::{Level, LevelFilter};

/// Our own modules are named with this before them.
const OURS: &str = "tollgate";

/// What libraries tell at the most: below it Pingora prints request headers, credentials among them.
const LIBRARIES_MAX: LevelFilter = LevelFilter::Warn;

/// How many modules can have a level of their own.
const MODULES_MAX: usize = 64;

/// Bytes of a module's name.
const NAME_MAX: usize = 128;

/// Levels by module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// That of Tollgate's modules that are not named.
    pub default: LevelFilter,
    /// Those of modules, by their names.
    pub modules: BTreeMap<String, LevelFilter>,
}

impl Levels {
    /// One level for everything.
    #[must_use]
    pub fn of(default: LevelFilter) -> Self {
        Self {
            default,
            modules: BTreeMap::new(),
        }
    }

    /// The same, if every name in it is one and has a level that it may have.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn checked(self) -> Result<Self, String> {
        if self.modules.len() > MODULES_MAX {
            return Err(format!("at most {MODULES_MAX} modules can be named"));
        }
        for (name, level) in &self.modules {
            check(name, *level)?;
        }
        Ok(self)
    }

    /// Whether a record of `target` is told.
    pub(super) fn tells(&self, target: &str, level: Level) -> bool {
        level <= self.level(target)
    }

    fn level(&self, target: &str) -> LevelFilter {
        let mut name = target;
        loop {
            if let Some(level) = self.modules.get(name) {
                return *level;
            }
            match name.rfind("::") {
                Some(end) => name = &name[..end],
                None if name == OURS => return self.default,
                None => return self.default.min(LIBRARIES_MAX),
            }
        }
    }

    /// The most that anything tells.
    pub(super) fn max(&self) -> LevelFilter {
        let named = self.modules.values().copied();
        named.fold(self.default, Ord::max)
    }
}

fn check(name: &str, level: LevelFilter) -> Result<(), String> {
    let is_word = |word: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        !word.is_empty() && word.bytes().all(letter)
    };
    if name.len() > NAME_MAX || !name.split("::").all(is_word) {
        return Err(format!(
            "`{}` is no module: they are named as `target` does in the log, tollgate::proxy for one",
            name.chars().take(NAME_MAX).collect::<String>()
        ));
    }
    let mut parts = name.split("::");
    if parts.next() != Some(OURS) {
        let most = LIBRARIES_MAX.as_str().to_ascii_lowercase();
        return match level <= LIBRARIES_MAX {
            true => Ok(()),
            false => Err(format!(
                "`{name}` is a library's, and can be heard from `{most}` on only: below it libraries print headers of requests"
            )),
        };
    }
    match parts.next() {
        Some(top) if !MODULES.contains(&top) => Err(format!(
            "Tollgate has no module `{name}`; there are {}",
            MODULES.join(", ")
        )),
        _ => Ok(()),
    }
}

/// Tollgate's modules: those of `lib.rs`.
const MODULES: &[&str] = &[
    "access",
    "admin",
    "byok",
    "catalog",
    "cli",
    "config",
    "cors",
    "credentials",
    "dev",
    "discover",
    "echo",
    "explain",
    "give_way",
    "kept",
    "ledger",
    "live",
    "log",
    "metrics",
    "model",
    "money",
    "otel",
    "proxy",
    "routing",
    "secret",
    "server",
    "snapshot",
    "statement",
    "store",
    "surface",
    "table",
    "upstream",
    "usage",
    "whole",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(modules: &[(&str, LevelFilter)]) -> Levels {
        let named = |(name, level): &(&str, LevelFilter)| ((*name).to_owned(), *level);
        Levels {
            default: LevelFilter::Info,
            modules: modules.iter().map(named).collect(),
        }
    }

    #[test]
    fn the_longest_name_that_fits_decides() {
        let levels = levels(&[
            ("tollgate::proxy", LevelFilter::Debug),
            ("tollgate::proxy::attempt", LevelFilter::Off),
            ("pingora_pool", LevelFilter::Error),
        ]);
        for (target, level, told) in [
            ("tollgate", Level::Info, true),
            ("tollgate", Level::Debug, false),
            ("tollgate::server::reload", Level::Info, true),
            ("tollgate::proxy", Level::Debug, true),
            ("tollgate::proxy::order", Level::Debug, true),
            ("tollgate::proxy::order", Level::Trace, false),
            ("tollgate::proxy::attempt", Level::Error, false),
            ("tollgate::proxy::attempt::open", Level::Error, false),
            // A name is no beginning of another word.
            ("tollgate::proxying", Level::Debug, false),
            ("pingora_pool::proxy_trait", Level::Error, true),
            ("pingora_pool::proxy_trait", Level::Warn, false),
            ("pingora_core", Level::Warn, true),
            ("pingora_core", Level::Info, false),
        ] {
            assert_eq!(levels.tells(target, level), told, "{target} {level}");
        }
        assert_eq!(levels.max(), LevelFilter::Debug);
    }

    #[test]
    fn libraries_are_never_heard_below_warnings() {
        let all = Levels::of(LevelFilter::Trace);
        assert!(all.tells("tollgate::proxy", Level::Trace));
        assert!(!all.tells("pingora_core::connectors", Level::Info));
        for (name, level, good) in [
            ("pingora_core", LevelFilter::Warn, true),
            ("pingora_core", LevelFilter::Off, true),
            ("pingora_core", LevelFilter::Info, false),
            ("tollgate", LevelFilter::Trace, true),
            ("tollgate::proxy::whatever", LevelFilter::Trace, true),
            ("tollgate::proxies", LevelFilter::Info, false),
            ("", LevelFilter::Off, false),
            ("tollgate::", LevelFilter::Off, false),
            ("a b", LevelFilter::Off, false),
        ] {
            let checked = levels(&[(name, level)]).checked();
            assert_eq!(checked.is_ok(), good, "{name} {level}: {checked:?}");
        }
    }

    #[test]
    fn the_modules_are_those_that_there_are() {
        let there_are = include_str!("../lib.rs").lines().filter_map(|line| {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            line.strip_prefix("mod ")?.strip_suffix(';')
        });
        let mut there_are: Vec<_> = there_are.collect();
        there_are.sort_unstable();
        assert_eq!(there_are, MODULES);
    }
}
