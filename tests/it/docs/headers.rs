//! The table in `docs/headers.md`: made from the one that requests go by.

use std::fmt::Write as _;

use tollgate::proxy::headers_out::{Passes, RULES};

use super::{Marks, hold, root};

const MARKS: Marks = Marks {
    begin: "<!-- From here on made from the code; see tests/it/docs/headers.rs. -->",
    end: "<!-- Made from the code up to here. -->",
};

fn table() -> String {
    let mut text = String::new();
    for (passes, title) in [
        (Passes::Always, "Pass on every credential"),
        (Passes::OnOwn, "Pass on `byok`, `request` and keyless only"),
        (Passes::Never, "Never pass"),
    ] {
        let _ = write!(
            text,
            "### {title}\n\n| headers | what they are |\n|---|---|\n"
        );
        for rule in RULES.iter().filter(|rule| rule.passes == passes) {
            let names = rule.names.iter().map(|name| format!("`{name}`"));
            let prefixes = rule.prefixes.iter().map(|prefix| format!("`{prefix}*`"));
            let all: Vec<String> = names.chain(prefixes).collect();
            let _ = writeln!(text, "| {} | {} |", all.join(", "), rule.what);
        }
        if passes == Passes::OnOwn {
            text.push_str("| any other | Nobody here knows what it does |\n");
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text
}

#[test]
fn the_page_on_headers_says_what_the_code_does() {
    hold(&root().join("docs/headers.md"), &MARKS, &table());
}
