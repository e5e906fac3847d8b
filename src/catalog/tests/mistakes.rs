//! What is wrong is said with file, line and path; all of it at once.

use super::super::{Files, Overrides, resolve};
use super::texts;

fn problems(files: &Files) -> Vec<String> {
    match resolve(files, &Overrides::default()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// Exactly these problems, by what each begins with and holds.
fn check(files: &[&str], expected: &[(&str, &str)]) {
    let problems = problems(&texts(files));
    assert_eq!(problems.len(), expected.len(), "{files:#?}\n{problems:#?}");
    for (problem, (place, words)) in problems.iter().zip(expected) {
        assert!(
            problem.starts_with(place),
            "{problem}\n  does not begin with {place}"
        );
        assert!(problem.contains(words), "{problem}\n  does not say {words}");
    }
}

/// A provider without mistakes but for `models`, which begin at line 2, and `more` at line 3.
fn provider(models: &str, more: &str) -> String {
    format!(
        "{{\"provider\":\"p\",\"base_url\":\"http://127.0.0.1:1/v1\",\"surfaces\":{{\"chat\":{{\"path\":\"/c\"}}}},\n\
         \"models\":{models},\n\
         \"facts\":{{}}{more}}}"
    )
}

fn check_models(models: &str, expected: &[(&str, &str)]) {
    check(&[&provider(models, "")], expected);
}

fn check_header(more: &str, expected: &[(&str, &str)]) {
    check(&[&provider("{\"m\":{}}", &format!(",{more}"))], expected);
}

#[test]
fn the_examples_of_this_test_are_well_otherwise() {
    check(&[&provider("{\"m\":{}}", "")], &[]);
    check(&["{}"], &[]);
    check(&[], &[]);
}

#[test]
fn text_that_is_no_json() {
    check(
        &["{\n  \"provider\": \"p\",,\n}"],
        &[("0.json:2:", "not a catalog file")],
    );
    check(&[""], &[("0.json:1:", "EOF")]);
    check(&["[]"], &[("0.json:1:", "not a catalog file")]);
    check(&["{\"provider\":\"p\"} x"], &[("0.json:1:", "trailing")]);
    check(
        &[&format!("{{\"facts\":{{\"deep\":{}", "[".repeat(100_000))],
        &[("0.json:1:", "recursion limit")],
    );
}

#[test]
fn a_null_that_takes_nothing_away() {
    let base = provider(r#"{"m":{"price":{"input":"1"}},"n":{}}"#, "");
    let over = r#"{"provider":"p","preset":null,"headers":{"x-a":null},"facts":{"f":null,"g":{"h":null}},
"models":{"m":{"context":null,"price":{"input":null},"modes":{"batch":null}},"n":null},
"endpoints":[{"url":"http://a","name":null}]}"#;
    check(
        &[&base, over],
        &[
            ("1.json:1:17: preset", "`null` takes entries away"),
            ("1.json:2:16: models.m.context", "`null` takes entries away"),
        ],
    );
}

#[test]
fn a_syntax_error_in_one_file_hides_nothing_in_another() {
    let wrong = provider("{\"m\":{\"price\":{\"input\":\"-1\"}}}", "");
    // `lost` may be what the broken file describes, so that nobody is told that it does not exist.
    let uses = r#"{"virtual_models": {"v": ["lost"]}}"#;
    check(
        &["{", &wrong, uses, "}"],
        &[
            ("0.json:1:", "not a catalog file"),
            ("1.json:2:25: models.m.price.input", "negative"),
            ("3.json:1:", "not a catalog file"),
        ],
    );
}

#[test]
fn all_mistakes_of_a_file_at_once() {
    let text = r#"{
  "provider": "p",
  "base_url": "ftp://x",
  "surfaces": {"chat": {"path": "c"}, "chta": {"path": "/c"}},
  "colour": "red",
  "models": {
    "a": {"context": "many", "price": {"input": 0.5, "output": "1.2.3", "putput": "1"}},
    "b": {"kind": "chta", "surfaces": ["chat", "mesages"]},
    "a": {"context": 1},
    "gpt-4.1": {"max_output": -1, "aliases": ["b"]}
  }
}"#;
    check(
        &[text],
        &[
            ("0.json:3:3: base_url: ", "https:// or http://"),
            ("0.json:4:25: surfaces.chat.path: ", "begins with `/`"),
            (
                "0.json:4:39: surfaces.chta: ",
                "no surface that is routed; there are chat,",
            ),
            ("0.json:5:3: colour: ", "unknown field"),
            ("0.json:7:11: models.a.context: ", "expected u64"),
            (
                "0.json:7:40: models.a.price.input: ",
                "a decimal number in quotes",
            ),
            (
                "0.json:7:54: models.a.price.output: ",
                "not a decimal number",
            ),
            ("0.json:7:73: models.a.price.putput: ", "unknown variant"),
            (
                "0.json:8:11: models.b.kind: ",
                "unknown variant `chta`, expected one of `chat`",
            ),
            (
                "0.json:8:48: models.b.surfaces.1: ",
                "`mesages` is no surface",
            ),
            ("0.json:9:5: models.a: ", "twice"),
            ("0.json:10:17: models.\"gpt-4.1\".max_output: ", "-1"),
            (
                "0.json:10:47: models.\"gpt-4.1\".aliases.0: ",
                "is the id of a model",
            ),
        ],
    );
}

#[test]
fn so_many_mistakes_that_listing_them_helps_nobody() {
    let models: Vec<_> = (0..1_000)
        .map(|n| format!("\"m{n}\":{{\"x\":1}}"))
        .collect();
    let problems = problems(&texts(&[&provider(
        &format!("{{{}}}", models.join(",\n")),
        "",
    )]));
    assert_eq!(problems.len(), 51);
    assert!(
        problems.iter().any(|problem| problem.contains("and more")),
        "{problems:?}"
    );
}

#[test]
fn prices() {
    let table = [
        ("\"-0.5\"", "negative"),
        ("\"0.0000000000001\"", "13 decimals"),
        ("\"1e-6\"", "not a decimal"),
        ("\"99999999\"", "too large"),
        ("\"\"", "not a decimal"),
        ("0.5", "in quotes"),
        ("true", "in quotes"),
        ("{}", "in quotes"),
    ];
    for (price, words) in table {
        check_models(
            &format!("{{\"m\":{{\"price\":{{\"output\":{price}}}}}}}"),
            &[("0.json:2:25: models.m.price.output", words)],
        );
    }
    check_models(
        r#"{"m":{"price":{},"tiers":[{"above":5,"price":{"input":"x"}},{"above":5,"price":{}}]}}"#,
        &[
            ("0.json:2:56: models.m.tiers.0.price.input", "not a decimal"),
            ("0.json:2:71: models.m.tiers.1.above", "ascend"),
        ],
    );
    check_models(
        r#"{"m":{"price":{},"modes":{"batch":{"multiplier":"-1"}},"image_price":{"low":"1e2"}}}"#,
        &[
            ("0.json:2:45: models.m.modes.batch.multiplier", "negative"),
            ("0.json:2:80: models.m.image_price.low", "not a decimal"),
        ],
    );
    check_models(
        r#"{"m":{"tiers":[{"above":5,"price":{"input":"1"}}]}}"#,
        &[("0.json:2:16: models.m.tiers", "say it")],
    );
}

#[test]
fn names_of_models() {
    check_models(
        "{\"\":{}}",
        &[("0.json:2:11: models.\"\"", "1 to 191 bytes")],
    );
    check_models(
        &format!("{{\"{}\":{{}}}}", "m".repeat(192)),
        &[("0.json:2:11: models.m", "1 to 191 bytes")],
    );
    check_models(
        "{\"a\\nb\":{}}",
        &[("0.json:2:11: models.", "control characters")],
    );
    check_models(
        r#"{"m":{"aliases":["m"]}}"#,
        &[("0.json:2:27: models.m.aliases.0", "is the id of a model")],
    );
    check_models(
        r#"{"m":{"aliases":["x"]},"n":{"aliases":["y","x"]}}"#,
        &[("0.json:2:53: models.n.aliases.1", "is an alias of `m`")],
    );
    check_models(
        r#"{"m":{"aliases":["n"]},"n":{"aliases":["m"]}}"#,
        &[
            ("0.json:2:27: models.m.aliases.0", "is the id of a model"),
            ("0.json:2:49: models.n.aliases.0", "is the id of a model"),
        ],
    );
    check_models(
        r#"{"m":{"family":""}}"#,
        &[("0.json:2:16: models.m.family", "1 to 191 bytes")],
    );
    check_header(
        r#""sources":{"s":{"title":"S","url":"https://a","date":"last week"}}"#,
        &[("0.json:3:58: sources.s.date", "no day")],
    );
    check_models(
        r#"{"m":{"src":["nowhere"]}}"#,
        &[("0.json:2:23: models.m.src.0", "not in `sources`")],
    );
    check_models(
        r#"{"m":{"retires":"soon","snapshot":"20241022"}}"#,
        &[
            ("0.json:2:16: models.m.retires", "no day"),
            ("0.json:2:33: models.m.snapshot", "no day"),
        ],
    );
}

#[test]
fn providers() {
    let base = r#""base_url":"http://a","surfaces":{"chat":{"path":"/c"}}"#;
    let with_id = |id: &str| format!("{{\"provider\":\"{id}\",{base}}}");
    for id in ["", "Open", "a b", "a:b", "a/b", "-a", &"x".repeat(65)] {
        check(
            &[&with_id(id)],
            &[("0.json:1:2: provider", "no provider id")],
        );
    }
    for id in ["v1", "tollgate", "chat", "messages", "models"] {
        check(
            &[&with_id(id)],
            &[("0.json:1:2: provider", "path of the gateway itself")],
        );
    }
    check(
        &[r#"{"provider":"p","surfaces":{"chat":{"path":"/c"}}}"#],
        &[("0.json:1:2: provider: no \"base_url\"", "preset")],
    );
    check(
        &[r#"{"provider":"p","base_url":"http://a"}"#],
        &[("0.json:1:2: provider: no surface is served", "preset")],
    );
    check(
        &[r#"{"provider":"p","template":"p"}"#],
        &[("0.json:1:17: template", "a provider or a template")],
    );
    check(
        &[r#"{"base_url":"http://a"}"#],
        &[("0.json: no \"provider\"", "which provider")],
    );
    check(
        &[r#"{"provider":"p","preset":"q"}"#, r#"{"template":"t"}"#],
        &[("0.json:1:17: preset", "no preset `q`; there are t")],
    );
    check(
        &[
            r#"{"provider":"p","preset":"t"}"#,
            r#"{"template":"t","base_url":"https://{resource}.x","surfaces":{"chat":{"path":"/c"}}}"#,
        ],
        &[("1.json:1:17: base_url", "placeholder `{resource}`")],
    );
    check(
        &[r#"{"template":"t","preset":"u"}"#, r#"{"template":"u"}"#],
        &[("0.json:1:17: preset", "cannot rest on another")],
    );
}

#[test]
fn names_of_providers_that_clash() {
    let file = |id: &str, aliases: &str| {
        format!(
            r#"{{"provider":"{id}","aliases":{aliases},"base_url":"http://a","surfaces":{{"chat":{{"path":"/c"}}}}}}"#
        )
    };
    check(
        &[&file("a", "[]"), &file("b", r#"["x","A"]"#)],
        &[("1.json:1:32: aliases.1", "already means provider `a`")],
    );
    check(
        &[&file("a", r#"["x"]"#), &file("b", r#"["X"]"#)],
        &[("1.json:1:28: aliases.0", "already means provider `a`")],
    );
    check(
        &[&file("a", r#"["a"]"#)],
        &[("0.json:1:28: aliases.0", "already means provider `a`")],
    );
    check(
        &[&file("a", r#"["a:b", "", "V1"]"#)],
        &[
            ("0.json:1:28: aliases.0", "no alias"),
            ("0.json:1:35: aliases.1", "no alias"),
            ("0.json:1:39: aliases.2", "path of the gateway itself"),
        ],
    );
}

#[test]
fn routes_and_endpoints() {
    check_header(
        r#""auth":"baerer""#,
        &[("0.json:3:12: auth", "no way to send a key")],
    );
    check_header(
        r#""auth":"header:a b""#,
        &[("0.json:3:12: auth", "no way to send a key")],
    );
    check_header(
        r#""headers":{"a b":"x","Host":"x","x-a":"\n","x-b":"","Tollgate-X":"y"}"#,
        &[
            ("0.json:3:23: headers.\"a b\"", "no name of a header"),
            ("0.json:3:33: headers.Host", "set by the gateway"),
            ("0.json:3:44: headers.x-a", "visible ASCII"),
            ("0.json:3:55: headers.x-b", "visible ASCII"),
            ("0.json:3:64: headers.Tollgate-X", "set by the gateway"),
        ],
    );
    check_header(
        r#""endpoints":[{"url":"http://a/v1"},{"url":"http://a/v2","weight":0},{"url":"x"},{"url":"http://b/v1","host":"b/"}]"#,
        &[
            ("0.json:3:47: endpoints.1", "called `a:80`"),
            ("0.json:3:48: endpoints.1.url", "must be the same"),
            ("0.json:3:68: endpoints.1.weight", "1 to 1000"),
            ("0.json:3:81: endpoints.2.url", "no base URL"),
            ("0.json:3:113: endpoints.3.host", "Host header"),
        ],
    );
    check_header(
        r#""requests":0,"endpoints":[{"url":"http://a/v1","requests":1000001}]"#,
        &[
            ("0.json:3:12: requests", "a limit is 1 to 1000000"),
            (
                "0.json:3:59: endpoints.0.requests",
                "a limit is 1 to 1000000",
            ),
        ],
    );
    check_header(r#""balance":"random""#, &[("0.json:3", "round_robin")]);
    check_header(
        r#""ca_file":"ca.pem","tls_name":"https://a""#,
        &[
            ("0.json:3:12: ca_file", "absolute"),
            ("0.json:3:31: tls_name", "no host name"),
        ],
    );
    check_header(
        r#""discover":true,"model_lists":[]"#,
        &[("0.json:3:12: discover", "write its models under `models`")],
    );
    check_header(
        r#""model_lists":[{"path":"/m"},{"path":"m","headers":{"Host":"a"}}]"#,
        &[
            ("0.json:3:42: model_lists.1.path", "begins with `/`"),
            (
                "0.json:3:64: model_lists.1.headers.Host",
                "set by the gateway",
            ),
        ],
    );
    check_header(
        r#""health":{"path":"health"}"#,
        &[("0.json:3:22: health.path", "begins with `/`")],
    );
    check_header(
        r#""health":{"type":"http"}"#,
        &[("0.json:3:12: health", "no \"path\"")],
    );
    check_header(
        r#""health":{"path":"/h","statuses":["200","2xx"],"interval":"1","timeout":"2m","healthy":0,"unhealthy":101}"#,
        &[
            ("0.json:3:52: health.statuses.1", "no status"),
            (
                "0.json:3:59: health.interval",
                "no time from 100ms to 3600s",
            ),
            ("0.json:3:74: health.timeout", "no time from 10ms to 60s"),
            ("0.json:3:89: health.healthy", "from 1 to 100"),
            ("0.json:3:101: health.unhealthy", "from 1 to 100"),
        ],
    );
    check_header(
        r#""health":{"path":"/h","host":"a b","headers":{"Host":"a","authorization":"Bearer x"}}"#,
        &[
            ("0.json:3:34: health.host", "is a host"),
            ("0.json:3:58: health.headers.Host", "set by the gateway"),
        ],
    );
    check_header(r#""health":{"type":"tcp"}"#, &[]);
    check_header(r#""health":{"type":"none","path":"x"}"#, &[]);
    check_header(
        r#""errors":{"bad_key":[{"status":200}]}"#,
        &[("0.json:3:34: errors.bad_key.0.status", "400 to 599")],
    );
    check_header(
        r#""errors":{"bad_key":[{"status":400,"contains":""}]}"#,
        &[("0.json:3:47: errors.bad_key.0.contains", "leave it out")],
    );
    check_header(
        r#""default_for":["m","n"]"#,
        &[("0.json:3:31: default_for.1", "no model called `n`")],
    );
    check(
        &[r#"{"provider":"p","base_url":"http://a","surfaces":{"chat":{"query":"?a=b"}}}"#],
        &[
            ("0.json:1:51: surfaces.chat: ", "no \"path\""),
            ("0.json:1:59: surfaces.chat.query", "without `?`"),
        ],
    );
}

#[test]
fn families() {
    let base = provider(r#"{"m":{"family":"f"}}"#, "");
    let off = r#"{"families":{"f":{"disabled":true},"g":{"disabled":true}}}"#;
    check(
        &[&base, off],
        &[("1.json:1:36: families.g", "no model is of a family `g`")],
    );
    let same = r#"{"families":{"f":{"same":"wights"}}}"#;
    check(
        &[&base, same],
        &[("1.json:1:19: families.f.same", "unknown variant")],
    );
}

#[test]
fn two_defaults_for_one_name() {
    let file = |id: &str| {
        format!(
            r#"{{"provider":"{id}","default_for":["m"],"base_url":"http://a","surfaces":{{"chat":{{"path":"/c"}}}},"models":{{"m":{{}}}}}}"#
        )
    };
    check(
        &[&file("a"), &file("b")],
        &[(
            "1.json:1:32: default_for.0",
            "provider `a` is the default for `m` already",
        )],
    );
}

#[test]
fn virtual_models() {
    let base = provider(r#"{"small":{}}"#, "");
    let check = |lists: &str, expected: &[(&str, &str)]| {
        check(
            &[&base, &format!("{{\"virtual_models\":{{\n{lists}}}}}")],
            expected,
        );
    };
    check(
        r#""v":[]"#,
        &[(
            "1.json:2:1: virtual_models.v",
            "1 to 10 models, this one for 0",
        )],
    );
    check(
        r#""v":["small","small","small","small","small","small","small","small","small","small","small"]"#,
        &[("1.json:2:1: virtual_models.v", "this one for 11")],
    );
    check(
        r#""v":["small","smal"]"#,
        &[(
            "1.json:2:14: virtual_models.v.1",
            "nothing is called `smal`; there is small",
        )],
    );
    check(
        r#""v":["small","V"]"#,
        &[("1.json:2:14: virtual_models.v.1", "itself")],
    );
    check(
        "\"v\":[\"small\"],\n\"w\":[\"v\"]",
        &[("1.json:3:6: virtual_models.w.0", "is a virtual model")],
    );
    check(
        r#""p:v":["small"]"#,
        &[("1.json:2:1: virtual_models.\"p:v\"", "read as a provider")],
    );
    check(
        "\"v\":[\"w\"],\n\"w\":[\"v\"]",
        &[
            ("1.json:2:6: virtual_models.v.0", "is a virtual model"),
            ("1.json:3:6: virtual_models.w.0", "is a virtual model"),
        ],
    );
    check(
        r#""Small":["p:other"]"#,
        &[(
            "1.json:2:1: virtual_models.Small",
            "is the id of a model of provider `p`; choose another name",
        )],
    );
    check(r#""small":["p:other","p:small"]"#, &[]);
    check(
        r#""":["small"]"#,
        &[("1.json:2:1: virtual_models.\"\"", "1 to 256 bytes")],
    );
    check(
        r#""v":"small""#,
        &[("1.json:2:1: virtual_models.v", "expected a sequence")],
    );
    check(r#""v":["p:anything","small"]"#, &[]);
}

#[test]
fn the_place_is_that_of_the_file_that_says_it() {
    let base = provider(r#"{"m":{"price":{"input":"1","output":"2"}}}"#, "");
    let over = "{\"provider\":\"p\",\"models\":{\n\"m\":{\"price\":{\"output\":\"-2\"}}}}";
    check(
        &[&base, over],
        &[("1.json:2:15: models.m.price.output", "negative")],
    );
    let wrong = provider(r#"{"m":{"price":{"input":"-1","output":"2"}}}"#, "");
    check(
        &[
            &wrong,
            r#"{"provider":"p","models":{"m":{"price":{"output":"3"}}}}"#,
        ],
        &[("0.json:2:25: models.m.price.input", "negative")],
    );
    // What is mended by a later file is no problem.
    check(
        &[
            &wrong,
            r#"{"provider":"p","models":{"m":{"price":{"input":"3"}}}}"#,
        ],
        &[],
    );
}

#[test]
fn no_text_makes_it_panic() {
    let good = r#"{"provider":"p","base_url":"http://a/v1","surfaces":{"chat":{"path":"/c"}},"models":{"é\u00e9":{"price":{"input":"1"},"aliases":["a","b"]}}}"#;
    for cut in (0..good.len()).filter(|cut| good.is_char_boundary(*cut)) {
        assert!(
            !problems(&texts(&[&good[..cut]])).is_empty(),
            "cut at {cut}"
        );
        for wrong in ["1", "null", "\"", "{", "}", ",", "[]", "\u{0}"] {
            let _ = problems(&texts(&[&format!(
                "{}{wrong}{}",
                &good[..cut],
                &good[cut..]
            )]));
        }
    }
}
