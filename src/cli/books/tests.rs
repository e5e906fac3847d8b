//! What the commands do can be done by the admin API.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory as _;

use crate::cli::Arguments;

/// Commands that look at or change what is in the store or what runs, and the operations that do the same.
const SAME: &[(&str, &[&str])] = &[
    ("accounts close", &["changeAccount"]),
    ("accounts create", &["createAccount"]),
    ("accounts limit", &["changeAccount"]),
    ("accounts list", &["listAccounts"]),
    ("accounts set", &["changeAccount"]),
    ("accounts show", &["getAccount"]),
    ("audit", &["listAudit"]),
    ("catalog rollback", &["rollBackCatalog"]),
    ("catalog versions", &["listCatalogVersions"]),
    ("credit check", &["checkBooks"]),
    ("credit end", &["endGrant", "getGrant"]),
    ("credit export", &["listJournal"]),
    ("credit grant", &["createGrant"]),
    ("credit history", &["getHistory"]),
    ("drain", &["drain", "endDrain"]),
    ("keys create", &["createKey", "createAccount"]),
    ("keys disable", &["changeKey"]),
    ("keys enable", &["changeKey"]),
    ("keys list", &["listKeys"]),
    ("keys revoke", &["changeKey"]),
    ("keys update", &["changeKey"]),
    ("log levels", &["getLogLevels", "setLogLevels"]),
    ("provider-keys add", &["createProviderKey"]),
    ("provider-keys disable", &["changeProviderKey"]),
    ("provider-keys enable", &["changeProviderKey"]),
    ("provider-keys list", &["listProviderKeys"]),
    ("provider-keys remove", &["removeProviderKey"]),
    ("provider-keys reseal", &["resealProviderKeys"]),
    ("provider-keys rotate", &["changeProviderKey"]),
    ("provider-keys update", &["changeProviderKey"]),
    ("reconcile", &["reconcile"]),
    ("reload", &["reload"]),
    (
        "status",
        &["getReadiness", "getMetrics", "listCatalogVersions"],
    ),
    ("upgrade", &["upgrade"]),
    ("usage", &["sumUsage"]),
];

/// Commands about files, or which run something: nothing of a store.
const OTHERS: &[&str] = &[
    "catalog diff",
    "catalog import",
    "check",
    "completions",
    "dev",
    // Of the store it looks at an access key only.
    "explain",
    "man",
    "models",
    "price",
    "schema",
    "serve",
];

#[test]
fn the_admin_api_has_all_that_commands_do() {
    let mut commands = BTreeSet::new();
    for command in Arguments::command().get_subcommands() {
        let name = command.get_name().to_owned();
        let below = command
            .get_subcommands()
            .map(|it| format!("{name} {}", it.get_name()));
        let below: Vec<String> = below.collect();
        match below.is_empty() {
            true => commands.insert(name),
            false => below.into_iter().fold(false, |_, it| commands.insert(it)),
        };
    }
    let same: BTreeMap<&str, &[&str]> = SAME.iter().copied().collect();
    let known = same.keys().chain(OTHERS).map(|name| (*name).to_owned());
    assert_eq!(commands, known.collect());
    let document = crate::admin::openapi();
    for (command, operations) in same {
        for operation in operations {
            let named = format!("\"operationId\": \"{operation}\"");
            assert!(document.contains(&named), "{command}: {operation}");
        }
    }
}
