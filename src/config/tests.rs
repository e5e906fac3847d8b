//! `tollgate.toml` from the operator's side: what a file means, what is said of a wrong one, and that the documented
//! file is true.

use std::fs;
use std::path::Path;

use super::*;
use crate::ledger::Recovered;
use crate::money::{Fee, Rows, Rule, Size, Terms};

/// The file that is shipped.
const DOCUMENTED: &str = include_str!("../../conf/tollgate.toml");

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let lines = |problems: Vec<Problem>| problems.iter().map(Problem::to_string).collect();
    Config::parse(text, Path::new("t.toml")).map_err(lines)
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

fn mistakes(text: &str) -> Vec<String> {
    parse(text).expect_err(text)
}

/// The one mistake in `text`.
fn mistake(text: &str) -> String {
    let mut all = mistakes(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

mod documented_file {
    use super::*;
    use std::collections::BTreeSet;

    /// Lines as `#threads = 0` and `#[[listen]]`: an option at its default.
    fn option_of(line: &str) -> Option<&str> {
        line.strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['))
    }

    /// Lines indented behind the `#`: an example.
    fn example_of(line: &str) -> Option<&str> {
        line.strip_prefix("#     ")
            .filter(|rest| !rest.starts_with('"'))
    }

    fn all_options() -> String {
        let lines = DOCUMENTED
            .lines()
            .map(|line| option_of(line).unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn key_of(line: &str) -> Option<&str> {
        let (key, _) = line.split_once(" = ")?;
        key.bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            .then_some(key)
    }

    #[test]
    fn as_it_stands_it_means_the_defaults() {
        assert_eq!(good(DOCUMENTED), Config::default());
        assert_eq!(good(""), Config::default());
    }

    #[test]
    fn every_default_in_it_is_the_real_one() {
        let options = DOCUMENTED
            .lines()
            .filter_map(option_of)
            .filter_map(key_of)
            .count();
        assert!(options > 30, "{options}");
        assert_eq!(good(&all_options()), Config::default());
    }

    #[test]
    fn its_examples_are_valid() {
        let examples: Vec<_> = DOCUMENTED.lines().filter_map(example_of).collect();
        let config = good(&examples.join("\n"));
        assert_eq!(config.providers.len(), 4);
        assert!(config.listen[0].tls.is_some() && config.upstream.ca_file.is_some());
    }

    /// An unknown key far from all others makes a section list the keys it knows.
    #[test]
    fn it_has_every_key_that_is_known() {
        const SECTIONS: &str = r#"
[[listen]]
address = "127.0.0.1:1"
qqqqqqqq = 1
[listen.tls]
certificate = "c"
key = "k"
qqqqqqqq = 1
[providers.p]
qqqqqqqq = 1
[providers.p.timeouts]
qqqqqqqq = 1
[providers.p.health]
qqqqqqqq = 1
"#;
        let mut text = SECTIONS.to_owned();
        for line in DOCUMENTED.lines().filter(|line| line.starts_with('[')) {
            text = format!("{text}{line}\nqqqqqqqq = 1\n");
        }
        let mut known = BTreeSet::new();
        for problem in mistakes(&text) {
            let (_, list) = problem
                .split_once("known here: ")
                .unwrap_or_else(|| panic!("{problem}"));
            known.extend(list.split(", ").map(str::to_owned));
        }
        assert!(known.len() > 35, "{known:?}");
        for key in known {
            let documented = DOCUMENTED.lines().any(|line| {
                let text = option_of(line)
                    .or_else(|| example_of(line))
                    .unwrap_or_default();
                key_of(text) == Some(&key) || text.contains(&format!("{key} = "))
            });
            assert!(documented, "`{key}` is not in conf/tollgate.toml");
        }
    }

    /// Each option whose text says "From A to B" refuses what is far beyond, and says the same bounds.
    #[test]
    fn every_range_in_it_is_the_real_one() {
        let mut section = "";
        let mut said = String::new();
        let mut checked = 0;
        for line in DOCUMENTED.lines() {
            if let Some(key) = option_of(line).and_then(key_of) {
                let value = line.split_once(" = ").map_or("", |(_, value)| value);
                if let Some(range) = range_in(&said) {
                    let beyond = beyond(value);
                    let problem = mistake(&format!("{section}\n{key} = {beyond}\n"));
                    assert!(
                        problem.ends_with(&format!("must be {range}")),
                        "{key}: {range:?}, but {problem}"
                    );
                    checked += 1;
                }
                said.clear();
            } else if line.starts_with('[') || line.starts_with("#[") {
                section = line.trim_start_matches('#');
            } else if let Some(prose) = line.strip_prefix("# ") {
                said.push_str(prose);
                said.push(' ');
            } else {
                said.clear();
            }
        }
        assert!(checked >= 22, "{checked}");
    }

    /// `from A to B`, as messages say it.
    fn range_in(said: &str) -> Option<String> {
        let number = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit());
        let words: Vec<_> = said
            .split("From ")
            .skip(1)
            .find(number)?
            .split([' ', ';'])
            .take(3)
            .collect();
        assert_eq!(words.get(1), Some(&"to"), "{said}");
        Some(format!(
            "from {} to {}",
            words[0],
            words[2].trim_end_matches('.')
        ))
    }

    fn beyond(value: &str) -> &str {
        match value.trim_matches('"').bytes().last() {
            Some(b'B') => "\"9999999GiB\"",
            Some(b's' | b'm' | b'h' | b'd') => "\"9999d\"",
            _ => "999999999",
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places_in_the_order_of_the_file() {
    let text = "\
[server]
threads = \"four\"
drian = \"5m\"

[timeouts]
connect = \"3\"
total = 1800

[[listen]]
address = \"localhost:8080\"
h2c = 1

[serverr]

[failover]
attempts = 11
mode = \"maybe\"
";
    assert_eq!(
        mistakes(text),
        [
            "t.toml:2:11: server.threads: must be a whole number, not a text",
            "t.toml:3:1: server.drian: unknown key; did you mean `drain`?",
            "t.toml:6:11: timeouts.connect: must be a duration: a whole number and a unit, as \"250ms\", \"3s\", \"10m\", \
             \"1h\" or \"2d\"",
            "t.toml:7:9: timeouts.total: must be a duration in quotes, as \"3s\" (ms, s, m, h, d), not a whole number",
            "t.toml:10:11: listen[0].address: must be an IP address and port, as \"127.0.0.1:8080\", \"0.0.0.0:8080\" or \
             \"[::]:8080\"",
            "t.toml:11:7: listen[0].h2c: must be true or false, not a whole number",
            "t.toml:13:2: serverr: unknown section; did you mean `server`?",
            "t.toml:16:12: failover.attempts: must be from 1 to 10",
            "t.toml:17:8: failover.mode: must be one of \"on\", \"safe\", \"off\"",
        ]
    );
}

#[test]
fn mistakes_of_syntax_are_told_with_their_places_and_without_the_line() {
    for (text, place) in [
        ("[server]\nthreads = \n", "t.toml:2:"),
        ("[providers.openai]\nkeys = [\"sk-SECRET\n", "t.toml:2:"),
        ("[server]\nthreads = 1\nthreads = 2\n", "t.toml:3:1"),
        ("[server\n", "t.toml:1:"),
        ("sk-SECRET = = 1\n", "t.toml:1:"),
    ] {
        let all = mistakes(text);
        assert!(
            all[0].starts_with(place) && all[0].contains("not valid TOML"),
            "{text:?}: {all:#?}"
        );
        assert!(!all.concat().contains("SECRET"), "{all:#?}");
    }
}

#[test]
fn keys_are_used_in_order_or_spread_by_weight() {
    let config = good(
        r#"[providers.p]
keys_use = "weighted"
keys = [{ key = "env:A", weight = 3, name = "large" }, "env:B", { key = "env:C" }]
"#,
    );
    let provider = &config.providers["p"];
    assert_eq!(provider.keys_use, KeysUse::Weighted);
    let large = ProviderKey {
        secret: SecretRef::Env("A".into()),
        weight: 3,
        name: Some("large".to_owned()),
    };
    let plain = |name: &str| ProviderKey::plain(SecretRef::Env(name.into()));
    assert_eq!(provider.keys, [large, plain("B"), plain("C")]);
}

#[test]
fn mistakes_in_keys_are_told_with_their_places() {
    let all = mistakes(
        r#"[providers.p]
keys_use = "random"
keys = [
  { weight = 1 },
  { key = "env:A", wieght = 2 },
  { key = "env:A", weight = 0, name = "a b" },
  { key = "env:A", name = "same" },
  { key = "env:B", name = "same" },
  { key = "sk-SECRET" },
]
"#,
    );
    let expected = [
        "t.toml:2:12: providers.p.keys_use: must be one of \"ordered\", \"weighted\"",
        "t.toml:4:3: providers.p.keys[0]: needs a `key`, as \"env:OPENAI_API_KEY\"",
        "t.toml:4:14: providers.p.keys[0].weight: means nothing where keys are used in order",
        "t.toml:5:20: providers.p.keys[1].wieght: unknown key; did you mean `weight`?",
        "t.toml:6:29: providers.p.keys[2].weight: must be from 1 to 1000",
        "t.toml:6:29: providers.p.keys[2].weight: means nothing where keys are used in order",
        "t.toml:6:39: providers.p.keys[2].name: a key's name has letters, digits",
        "t.toml:8:27: providers.p.keys[4].name: another key of this provider has the same name",
        "t.toml:9:11: providers.p.keys[5].key: not a reference to a secret",
    ];
    assert_eq!(all.len(), expected.len(), "{all:#?}");
    for (told, expected) in all.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told}\n{expected}");
    }
    assert!(!all.concat().contains("SECRET"), "{all:#?}");
}

#[test]
fn master_keys_are_one_or_several() {
    let env = |name: &str| SecretRef::Env(name.into());
    let one = good("[byok]\nmaster_key = \"env:A\"\n");
    assert_eq!(one.byok.master_keys, [env("A")]);
    let two = good("[byok]\nmaster_keys = [\"env:A\", \"env:B\"]\n");
    assert_eq!(two.byok.master_keys, [env("A"), env("B")]);
    for (text, expected) in [
        (
            "[byok]\nmaster_key = \"env:A\"\nmaster_keys = [\"env:B\"]\n",
            "t.toml:3:15: byok.master_keys: stands beside `master_key`",
        ),
        (
            "[byok]\nmaster_keys = [\"env:A\", \"env:A\"]\n",
            "t.toml:2:25: byok.master_keys[1]: stands in the list already",
        ),
        (
            "[byok]\nmaster_key = \"00112233\"\n",
            "t.toml:2:14: byok.master_key: not a reference to a secret",
        ),
        (
            "[byok]\nmaster_keys = \"env:A\"\n",
            "t.toml:2:15: byok.master_keys: must be an array of references",
        ),
        (
            &format!(
                "[byok]\nmaster_keys = [{}]\n",
                ["A", "B", "C", "D", "E", "F", "G", "H", "I"]
                    .map(|name| format!("\"env:{name}\""))
                    .join(",")
            ),
            "t.toml:2:15: byok.master_keys: holds more than 8 keys",
        ),
    ] {
        let told = mistake(text);
        assert!(told.starts_with(expected), "{told}");
        assert!(!told.contains("00112233"), "{told}");
    }
}

#[test]
fn credit_is_charged_on_the_terms_that_are_written() {
    let credit = good(
        "[credit]\ncharge = false\nhold = \"expected\"\nexpected_output = 7\noutput_unknown = 8\n\
         recovered = \"void\"\nunpriced = \"allow\"\nbyok_without_store = false\nrows = \"charged\"\n\
         fee = { per_million_tokens = \"0.05\", per_request = \"0.000000000001\" }\n",
    )
    .credit;
    let fee = Fee {
        per_million_tokens: Fee::part("0.05").expect("a price"),
        per_request: Fee::part("0.000000000001").expect("a price"),
    };
    let rule = Rule {
        fee,
        size: Size::Expected,
        expected_output: 7,
        output_unknown: 8,
    };
    let terms = Terms {
        charge: false,
        rule,
        unpriced: true,
        byok_without_store: false,
        rows: Rows::Charged,
    };
    assert_eq!(
        credit,
        Credit {
            terms,
            recovered: Recovered::Void
        }
    );
    for (fee, reason) in [
        ("\"-1\"", "`-1` is negative"),
        ("\"0.0000000000001\"", "13 decimals"),
        ("\"99999999\"", "too large"),
        ("\"\"", "must not be empty"),
        ("1", "must be a text in quotes"),
    ] {
        let text = format!("[credit]\nfee = {{ per_request = {fee} }}\n");
        let told = mistake(&text);
        assert!(
            told.contains("credit.fee.per_request") && told.contains(reason),
            "{told}"
        );
    }
}

#[test]
fn a_secret_that_was_written_by_mistake_is_not_repeated() {
    let text = r#"[providers.openai]
keys = ["sk-SECRET", 7]
base_url = "https://user:SECRET@host"
[admin]
token = "SECRET"
"#;
    let all = mistakes(text);
    assert_eq!(all.len(), 4, "{all:#?}");
    assert!(!all.concat().contains("SECRET"), "{all:#?}");
    assert!(
        all[0].starts_with("t.toml:2:9: providers.openai.keys[0]: not a reference to a secret"),
        "{all:#?}"
    );
}

const FULL: &str = r#"
[server]
threads = 3
drain = "0"
upgrade = "20s"
[[listen]]
address = "0.0.0.0:80"
h2c = false
[[listen]]
address = "[::]:443"
tls = { certificate = "tls/c.pem", key = "/k.pem" }
[admin]
address = "unix:admin.sock"
[store]
path = "/var/lib/tollgate/t.db"
audit_kept = "30d"
[catalog]
builtin = false
paths = ["mine", "/srv/catalog/x.json"]
discover = "5m"
[limits]
body = "1MiB"
[log]
level = "warn"
format = "logfmt"
errors = "error.log"
access = "access.log"
queue = "64KiB"
[upstream]
h2_ping = "0"
ca_file = "ca.pem"
[timeouts]
idle = "2m"
[health]
failures = 9
samples = 20
[providers.openai]
keys = ["env:A", "file:b"]
base_url = "https://proxy.example/v1/"
timeouts = { first_byte = "1s" }
health = { failures = 3, backoff = "10m" }
[providers.ollama]
ca_file = "/own.pem"
"#;

#[test]
fn sections_are_read_as_written() {
    let config = good(FULL);
    assert_eq!(
        config.server,
        Server {
            threads: 3,
            drain: Duration::ZERO,
            upgrade: Duration::from_secs(20),
        }
    );
    let tls = Tls {
        certificate: "tls/c.pem".into(),
        key: "/k.pem".into(),
    };
    let plain = Listen {
        address: "0.0.0.0:80".parse().unwrap(),
        h2c: false,
        tls: None,
    };
    let secure = Listen {
        address: "[::]:443".parse().unwrap(),
        h2c: false,
        tls: Some(tls),
    };
    assert_eq!(config.listen, [plain, secure]);
    let socket = AdminAddress::Unix("admin.sock".into());
    assert_eq!(
        config.admin,
        Some(Admin {
            address: socket,
            token: None
        })
    );
    let month = Duration::from_secs(30 * 86_400);
    assert_eq!(config.store.path, Path::new("/var/lib/tollgate/t.db"));
    assert_eq!(config.store.audit_kept, month);
    assert!(mistake("[store]\naudit_kept = \"1h\"\n").contains("store.audit_kept"));
    let paths = vec!["mine".into(), "/srv/catalog/x.json".into()];
    assert_eq!(
        config.catalog,
        CatalogFiles {
            builtin: false,
            paths,
            watch: true,
            discover: Duration::from_secs(300)
        }
    );
    assert_eq!(
        (config.limits.body, config.limits.replay_request),
        (1 << 20, 1 << 20)
    );
    let access = Target::File("access.log".into());
    assert_eq!(
        config.log,
        Log {
            level: LevelFilter::Warn,
            format: Format::Logfmt,
            errors: Target::File("error.log".into()),
            access,
            queue: 64 << 10,
        }
    );
    assert_eq!(config.upstream.h2_ping, None);
}

#[test]
fn a_provider_has_what_it_says_itself_and_the_general_rest() {
    let config = good(FULL);
    let openai = &config.providers["openai"];
    assert_eq!(
        openai.keys,
        [SecretRef::Env("A".into()), SecretRef::File("b".into())].map(ProviderKey::plain)
    );
    assert_eq!(openai.base_url.as_deref(), Some("https://proxy.example/v1"));
    assert_eq!(openai.ca_file.as_deref(), Some(Path::new("ca.pem")));
    assert_eq!(openai.timeouts.first_byte, Duration::from_secs(1));
    assert_eq!(openai.timeouts.idle, Duration::from_mins(2));
    assert_eq!(openai.timeouts.connect, Timeouts::default().connect);
    assert_eq!(
        FULL.lines().nth(openai.place.line as usize - 1),
        Some("[providers.openai]")
    );
    assert_eq!((openai.health.failures, openai.health.samples), (3, 20));
    // A cap that is not its own gives way.
    assert_eq!(openai.health.backoff_max, Duration::from_mins(10));
    let ollama = &config.providers["ollama"];
    assert_eq!(ollama.health, config.health);
    assert_eq!(ollama.ca_file.as_deref(), Some(Path::new("/own.pem")));
    assert!(ollama.enabled && ollama.keys.is_empty() && ollama.base_url.is_none());
}

#[test]
fn paths_are_relative_to_the_folder_of_the_file() {
    let text = "[catalog]\npaths = [\"c\"]\n[providers.p]\nkeys = [\"file:k\"]\n";
    let config = Config::parse(text, Path::new("/etc/tollgate/tollgate.toml")).expect("good");
    assert_eq!(config.catalog.paths, [Path::new("/etc/tollgate/c")]);
    assert_eq!(
        config.store.path,
        Path::new("/etc/tollgate/../data/tollgate.db")
    );
    assert_eq!(
        config.providers["p"].keys,
        [ProviderKey::plain(SecretRef::File(
            "/etc/tollgate/k".into()
        ))]
    );
}

#[test]
fn a_back_off_does_not_end_before_it_begins() {
    let problem = mistake("[health]\nbackoff = \"10s\"\nbackoff_max = \"9s\"\n");
    assert_eq!(
        problem,
        "t.toml:3:15: health.backoff_max: must not be shorter than `backoff`"
    );
}

#[test]
fn listeners_do_not_share_an_address() {
    let two = |one: &str, other: &str| {
        format!("[[listen]]\naddress = \"{one}\"\n[[listen]]\naddress = \"{other}\"\n")
    };
    for (one, other) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("127.0.0.1:80", "0.0.0.0:80"),
        ("[::1]:80", "[::]:80"),
    ] {
        let problem = mistake(&two(one, other));
        assert!(
            problem.starts_with("t.toml:4:11: listen[1].address: a listener above has"),
            "{problem}"
        );
    }
    for (one, other) in [
        ("127.0.0.1:80", "127.0.0.1:81"),
        ("127.0.0.1:80", "127.0.0.2:80"),
        ("0.0.0.0:80", "[::1]:80"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ] {
        assert_eq!(good(&two(one, other)).listen.len(), 2);
    }
}

#[test]
fn the_admin_listener_does_not_take_a_public_address() {
    let listen = "[[listen]]\naddress = \"127.0.0.1:8081\"\n";
    assert!(mistake(listen).contains("set `admin.address` too"));
    let problem = mistake(&format!("{listen}[admin]\naddress = \"127.0.0.1:8081\"\n"));
    assert!(
        problem.starts_with("t.toml:4:11: admin.address: a listener above"),
        "{problem}"
    );
    good(&format!("{listen}[admin]\naddress = \"off\"\n"));
}

#[test]
fn an_admin_listener_that_others_can_reach_needs_a_token() {
    let at = |address: &str, token: &str| format!("[admin]\naddress = \"{address}\"\n{token}");
    for address in ["0.0.0.0:9", "10.0.0.7:9", "[::]:9"] {
        assert!(
            mistake(&at(address, "")).contains("set `token`"),
            "{address}"
        );
        let admin = good(&at(address, "token = \"env:T\"\n")).admin.expect("on");
        assert_eq!(admin.token, Some(SecretRef::Env("T".into())));
    }
    for address in ["127.0.0.1:9", "[::1]:9", "unix:/run/t.sock"] {
        good(&at(address, ""));
    }
    assert_eq!(good(&at("off", "")).admin, None);
    assert!(mistake(&at("nowhere", "")).contains("must be an IP address and port"));
}

#[test]
fn a_listener_needs_an_address_and_both_halves_of_its_tls() {
    assert!(
        mistake("[[listen]]\nh2c = false\n")
            .starts_with("t.toml:1:1: listen[0]: needs an `address`")
    );
    let half = "[[listen]]\naddress = \"127.0.0.1:1\"\ntls = { certificate = \"c\" }\n";
    assert!(
        mistake(half).starts_with("t.toml:3:7: listen[0].tls: needs both"),
        "{}",
        mistake(half)
    );
    let both = "[[listen]]\naddress = \"127.0.0.1:1\"\nh2c = true\ntls = { certificate = \"c\", key = \"k\" }\n";
    assert!(mistake(both).contains("`h2c` is HTTP/2 without TLS"));
    assert!(mistake("listen = []\n").contains("must have at least one listener"));
}

#[test]
fn replay_memory_of_one_request_fits_in_that_of_all() {
    let limits = |text: &str| good(&format!("[limits]\n{text}")).limits;
    assert_eq!(limits("body = \"1GiB\"\n").replay_request, 512 << 20);
    assert_eq!(limits("replay_total = \"1MiB\"\n").replay_request, 1 << 20);
    let problem = mistake("[limits]\nreplay_request = \"2MiB\"\nreplay_total = \"1MiB\"\n");
    assert!(
        problem.starts_with("t.toml:2:18: limits.replay_request: must not exceed"),
        "{problem}"
    );
}

#[test]
fn a_base_url_is_plain_http_or_https() {
    let with = |url: &str| format!("[providers.p]\nbase_url = \"{url}\"\n");
    for url in [
        "http://localhost:11434/v1",
        "https://api.example.com",
        "http://[::1]:8000/v1",
        "https://a/b/c",
    ] {
        assert_eq!(
            good(&with(url)).providers["p"].base_url.as_deref(),
            Some(url)
        );
    }
    for url in [
        "api.example.com",
        "/v1",
        "ftp://a/",
        "https://",
        "https://a/?key=x",
        "https://u@a/",
        "https://a/#x",
        "https://a b",
    ] {
        assert!(
            mistake(&with(url)).starts_with("t.toml:2:12: providers.p.base_url: must "),
            "{url}"
        );
    }
}

#[test]
fn a_provider_id_is_one_that_a_model_name_can_begin_with() {
    for id in ["OpenAI", "open ai", "a:b", "a/b", ""] {
        assert!(
            mistake(&format!("[providers.\"{id}\"]\n")).contains("a provider id has"),
            "{id:?}"
        );
    }
    good("[providers.inference-net]\n[providers.llama_3]\n[providers.\"a.b\"]\n");
}

#[test]
fn a_section_where_a_value_should_be_and_the_other_way_round_are_told() {
    assert!(mistake("server = 3\n").contains("server: must be a section, not a whole number"));
    assert!(
        mistake("[server.threads]\n")
            .contains("server.threads: must be a whole number, not a section")
    );
    assert!(
        mistake("[listen]\naddress = \"127.0.0.1:1\"\n")
            .contains("listen: must be written [[listen]], once for each listener, not a section")
    );
    assert!(mistake("[store]\npath = \"\"\n").contains("store.path: must not be empty"));
}

mod outside_the_file {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN EC PRIVATE KEY-----\n";

    fn load(text: &str, files: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in files {
            fs::write(folder.path().join(name), content).expect("written");
        }
        let path = folder.path().join("t.toml");
        fs::write(&path, text).expect("written");
        let name = format!("{}/", folder.path().display());
        let plain = |problem: &Problem| problem.to_string().replace(&name, "");
        let values = Config::load_values(&path);
        assert!(values.is_ok(), "values alone are good: {values:?}");
        Config::load(&path).map_err(|problems| problems.iter().map(plain).collect())
    }

    const POINTING: &str = "\
[[listen]]
address = \"127.0.0.1:1\"
tls = { certificate = \"c.pem\", key = \"k.pem\" }
[catalog]
paths = [\"mine.json\"]
[providers.p]
keys = [\"file:key\"]
ca_file = \"ca.pem\"
";

    #[test]
    fn everything_that_is_there_is_found() {
        let files = [
            ("c.pem", CERTIFICATE),
            ("k.pem", KEY),
            ("mine.json", ""),
            ("key", "sk-1"),
            ("ca.pem", CERTIFICATE),
        ];
        let loaded = load(POINTING, &files);
        assert!(loaded.is_ok(), "{loaded:?}");
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let all = load(POINTING, &[]).expect_err("nothing is there");
        let starts = [
            "t.toml:3:23: listen[0].tls.certificate: c.pem: cannot be read: there is no such file",
            "t.toml:3:38: listen[0].tls.key: k.pem: cannot be read: there is no such file",
            "t.toml:5:10: catalog.paths[0]: mine.json: cannot be read: there is no such file",
            "t.toml:7:9: providers.p.keys[0]: cannot read the secret file:key: there is no such file",
            "t.toml:8:11: providers.p.ca_file: ca.pem: cannot be read: there is no such file",
        ];
        assert_eq!(all.len(), starts.len(), "{all:#?}");
        for (problem, start) in all.iter().zip(starts) {
            assert!(problem.starts_with(start), "{problem}");
        }
    }

    #[test]
    fn a_file_of_the_wrong_kind_is_told() {
        let files = [
            ("c.pem", KEY),
            ("k.pem", CERTIFICATE),
            ("mine.json", ""),
            ("key", "sk-1"),
            ("ca.pem", "DER?"),
        ];
        let all = load(POINTING, &files).expect_err("swapped").concat();
        for wanted in [
            "c.pem: holds no `BEGIN … CERTIFICATE`",
            "k.pem: holds no `BEGIN … PRIVATE KEY`",
            "ca.pem: holds no",
        ] {
            assert!(all.contains(wanted), "{all}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_or_not_text_is_one_clear_mistake() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.toml");
        let problem = |path: &Path| Config::load(path).expect_err("unreadable")[0].to_string();
        assert!(problem(&path).contains("t.toml: cannot be read: there is no such file"));
        fs::write(&path, b"[server]\n# \xff\n").expect("written");
        assert!(
            problem(&path).contains("t.toml:2:3: is not UTF-8"),
            "{}",
            problem(&path)
        );
        fs::write(&path, vec![b'#'; 2 << 20]).expect("written");
        assert!(problem(&path).contains("larger than 1 MiB"));
    }
}

#[test]
fn dns_servers_are_addresses_with_a_port_or_without() {
    let dns =
        good("[dns]\nservers = [\"10.0.0.2\", \"10.0.0.3:5353\", \"::1\", \"[::1]:5353\"]\n").dns;
    let expected = ["10.0.0.2:53", "10.0.0.3:5353", "[::1]:53", "[::1]:5353"];
    assert_eq!(
        dns.servers,
        expected.map(|text| text.parse().expect("an address"))
    );
    let wrong = mistake("[dns]\nservers = [\"10.0.0.2\", \"dns.example\"]\n");
    assert!(
        wrong.starts_with("t.toml:2:24: dns.servers[1]: must be an IP address"),
        "{wrong}"
    );
    let nine = ["\"10.0.0.1\""; 9].join(",");
    assert!(mistake(&format!("[dns]\nservers = [{nine}]\n")).contains("at most 8"));
    assert!(mistake("[dns]\nttl_min = \"10m\"\n").contains("must not be longer than `ttl_max`"));
    good("[dns]\nttl_min = \"10m\"\nttl_max = \"10m\"\n");
}

#[test]
fn a_provider_may_have_a_limit_of_its_own() {
    let config = good("[providers.p]\nrequests = 12\n[providers.q]\n");
    assert_eq!(config.providers["p"].requests, Some(12));
    assert_eq!(config.providers["q"].requests, None);
    assert!(mistake("[providers.p]\nrequests = 0\n").contains("must be from 1 to 1000000"));
}
