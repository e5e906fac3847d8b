//! Canaries: a text that occurs nowhere else in every place where a credential can be, then requests of every surface with
//! every kind of end, then a search for each text, plain and in the writings in which it could be read, in all that the
//! gateway sent, answered, wrote and kept. Each is found where it belongs, and nowhere else.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use sha2::Digest as _;
use tollgate::surface::{Spec, TABLE};

use crate::ask;
use crate::every;
use crate::support::client::{self, H1, Request, Response, get};
use crate::support::gateway::{Gateway, MASTER_KEY, custom, gateway, stored_key, upstream_key};
use crate::support::upstream::{self, Behaviour, Delivery, Reply, Upstream, behave, fault};

/// A provider key that a client sends along.
const SENT_ALONG: &str = "sk-canary-sent-along-by-a-client-2f71ab90cd";
/// What looks like an access key, and is none.
const MISTYPED: &str = "tg-0000000000001111111111222222222233333333334444444444555";
/// The operator's token of the admin listener.
const TOKEN: &str = "canary-of-the-admin-listener-84be13f7";
/// The header by which a provider is told what to answer; it passes on every credential.
const SCRIPT: &str = "x-request-id";

/// A secret and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Canary {
    what: String,
    secret: String,
}

impl Canary {
    fn new(what: &str, secret: &str) -> Self {
        Self {
            what: what.to_owned(),
            secret: secret.to_owned(),
        }
    }

    /// The part of it that says it: its first and last letters may be shown to those who have it.
    fn part(&self) -> &str {
        &self.secret[3..self.secret.len() - 5]
    }

    /// Ways of writing that part, each of which it can be read from.
    fn forms(&self) -> Vec<Vec<u8>> {
        let part = self.part().as_bytes();
        let each =
            |form: &dyn Fn(u8) -> String| part.iter().map(|byte| form(*byte)).collect::<String>();
        let mut forms = vec![
            self.part().to_owned(),
            self.part().to_ascii_uppercase(),
            self.part().replace('-', "%2D"),
            self.part().replace('-', "%2d"),
            self.part().replace('-', "\\u002d"),
            each(&|byte| format!("%{byte:02x}")),
            each(&|byte| format!("%{byte:02X}")),
            each(&|byte| format!("\\u{byte:04x}")),
            each(&|byte| format!("\\u{byte:04X}")),
            each(&|byte| format!("{byte:02x}")),
            each(&|byte| format!("{byte:02X}")),
            part.iter().rev().map(|byte| char::from(*byte)).collect(),
        ];
        // Wherever it begins within three bytes; the letters at both ends depend on what is beside it.
        for before in 0..3 {
            let padded = [&b"..."[..before], part].concat();
            let whole = padded.len() / 3 * 3;
            for text in [
                STANDARD.encode(&padded[..whole]),
                URL_SAFE.encode(&padded[..whole]),
            ] {
                forms.push(text[if before == 0 { 0 } else { 4 }..].to_owned());
            }
        }
        forms.into_iter().map(String::into_bytes).collect()
    }

    fn is_in(&self, text: &[u8]) -> bool {
        self.forms()
            .iter()
            .any(|form| memchr::memmem::find(text, form).is_some())
    }
}

#[test]
fn a_canary_is_found_in_every_writing() {
    let canary = Canary::new("a key", SENT_ALONG);
    let key = SENT_ALONG.as_bytes();
    for before in ["", "a", "ab", "abc"] {
        let text = [before.as_bytes(), key, b" after"].concat();
        let hex: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
        let percent: String = text.iter().map(|byte| format!("%{byte:02X}")).collect();
        let escaped: String = text.iter().map(|byte| format!("\\u{byte:04x}")).collect();
        for written in [
            STANDARD.encode(&text),
            URL_SAFE.encode(&text),
            hex,
            percent,
            escaped,
        ] {
            assert!(canary.is_in(written.as_bytes()), "{written}");
        }
        assert!(canary.is_in(&text));
    }
    assert!(!canary.is_in(b"sk-another-key-that-is-as-long-as-the-first-one"));
}

struct Lab {
    gateway: Gateway,
    one: Upstream,
    two: Upstream,
}

impl Lab {
    async fn new() -> Self {
        let (one, two) = (upstream::h1().start().await, upstream::h1().start().await);
        one.each(scripted);
        two.each(scripted);
        let model = |id: &str| every::speaking_every(custom(id).model("m").model("shared"));
        let gateway = gateway()
            .config("log.level", "trace")
            .config("health.passive", false)
            .config("admin.token", "env:CANARY_TOKEN")
            .environment("CANARY_TOKEN", TOKEN)
            .custom(model("one"), &one)
            .custom(model("two"), &two)
            .key("stored", &["--account", "acme"])
            .stored("acme", "one", "main", &[])
            .stored("acme", "two", "main", &[])
            .start()
            .await;
        Self { gateway, one, two }
    }

    fn at(&self) -> [(&'static str, &Upstream); 2] {
        [("one", &self.one), ("two", &self.two)]
    }

    fn canaries(&self) -> Vec<Canary> {
        let mut all = vec![
            Canary::new("an access key", secret_of(self.gateway.key())),
            Canary::new(
                "another access key",
                secret_of(self.gateway.key_named("stored")),
            ),
            Canary::new("a mistyped access key", secret_of(MISTYPED)),
            Canary::new("a key sent along", SENT_ALONG),
            Canary::new("the admin's token", TOKEN),
            Canary::new("the master key", MASTER_KEY),
        ];
        for id in ["one", "two"] {
            all.push(Canary::new("the gateway's key", &upstream_key(id, 0)));
            all.push(Canary::new("a stored key", &stored_key("acme", id, "main")));
        }
        all
    }

    #[track_caller]
    fn none_in(&self, text: &[u8], place: &str) {
        self.none_but(&[], text, place);
    }

    #[track_caller]
    fn none_but(&self, allowed: &[&str], text: &[u8], place: &str) {
        for canary in self.canaries() {
            if allowed.contains(&&*canary.secret) {
                continue;
            }
            let shown = String::from_utf8_lossy(&text[..text.len().min(4_000)]);
            assert!(!canary.is_in(text), "{} in {place}: {shown}", canary.what);
        }
    }

    async fn admin(&self, target: &str) -> Response {
        client::send(self.gateway.admin(), &get(target).bearer(TOKEN)).await
    }
}

/// What stands before it in an access key is its public id.
fn secret_of(key: &str) -> &str {
    &key[15..]
}

/// What a provider does, by the script that the request brings.
fn scripted(delivery: &Delivery) -> Behaviour {
    let key = ["authorization", "x-api-key", "x-goog-api-key"]
        .into_iter()
        .find_map(|name| delivery.header(name))
        .unwrap_or_default();
    let key = key.strip_prefix("Bearer ").unwrap_or(key);
    match delivery.header(SCRIPT).unwrap_or_default() {
        "reset" => fault::reset_after_body(),
        "nonsense" => fault::malformed(format!("HTTP/1.1 {key}\r\n{key}\r\n\r\n")),
        "folded" => fault::malformed(format!("HTTP/1.1 200 OK\r\nx: {key}\0\r\n\r\n")),
        "phrase" => fault::malformed(format!(
            "HTTP/1.1 500 No {key}\r\nx-{key}: {key}\r\ncontent-length: 0\r\n\r\n"
        )),
        "header" => behave().read().send(in_header(ask::answer(), key)),
        "silent" => fault::silent_after_body(),
        "cut" => fault::truncated(ask::answer(), 20),
        "stream" => behave().read().send(events()),
        "stream cut" => fault::truncated(events(), 60),
        word => match word.parse() {
            Ok(status) => behave().read().send(telling(status, key)),
            Err(_) => behave().read().send(ask::answer()),
        },
    }
}

fn events() -> Reply {
    let events = upstream::payload::chat_sse("m", 4, Some(upstream::payload::USAGE));
    Reply::sse(events, std::time::Duration::ZERO)
}

/// An error that repeats the credential in whatever way it can, in small pieces.
fn telling(status: u16, key: &str) -> Reply {
    let escaped: String = key.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let percent: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let body = format!(
        r#"{{"error":{{"message":"No {key}, {escaped}, {percent}","type":"auth","code":"invalid_api_key"}}}}"#
    );
    let reply = Reply::status(status)
        .header("content-type", "application/json")
        .header("retry-after", "60");
    let reply = in_header(reply, key);
    body.as_bytes()
        .chunks(3)
        .fold(reply, |reply, piece| reply.piece(piece.to_vec()))
        .chunked()
}

/// The same in headers, those that are written down among them.
fn in_header(reply: Reply, key: &str) -> Reply {
    let percent: String = key.bytes().map(|byte| format!("%{byte:02X}")).collect();
    reply
        .header("x-echo", key)
        .header("x-request-id", key)
        .header("request-id", key)
        .header("x-generation-id", &format!("gen-{key}"))
        .header("location", &format!("https://one.example/?key={percent}"))
        .header("www-authenticate", &format!("Bearer realm=\"{key}\""))
}

/// Whose credential goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Gateway,
    Stored,
    SentAlong,
}

impl Mode {
    fn sign(self, request: Request, gateway: &Gateway) -> Request {
        match self {
            Self::Gateway => request.bearer(gateway.key()),
            Self::Stored => request.header("x-api-key", gateway.key_named("stored")),
            Self::SentAlong => request
                .header("tollgate-key", gateway.key())
                .bearer(SENT_ALONG),
        }
    }
}

/// Every surface with every credential, and every end that an attempt can have.
fn runs() -> Vec<(Mode, &'static Spec, &'static str, &'static str)> {
    let mut runs = Vec::new();
    for mode in [Mode::Gateway, Mode::Stored, Mode::SentAlong] {
        for spec in every::surfaces() {
            for script in ["good", "400", "403", "500", "cut"] {
                runs.push((mode, spec, script, "one:m"));
            }
            runs.push((mode, spec, "503", "shared"));
        }
        for script in [
            "reset",
            "nonsense",
            "folded",
            "phrase",
            "header",
            "307",
            "stream",
            "stream cut",
            "silent",
        ] {
            runs.push((mode, &TABLE[0], script, "shared"));
        }
    }
    // These set keys aside, so that they are not used any more.
    for mode in [Mode::SentAlong, Mode::Stored, Mode::Gateway] {
        for script in ["429", "402", "401"] {
            runs.push((mode, &TABLE[0], script, "shared"));
        }
    }
    runs
}

/// The access key in each place where one may stand, in writings that are odd.
fn oddly(key: &str, spec: &Spec) -> Vec<Request> {
    let body = every::bytes(spec, "one:m", false);
    let at = |query: &str| client::post(&format!("{}{query}", every::path(spec)), body.clone());
    let encoded: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    vec![
        at("").header("authorization", key),
        at("").header("authorization", &format!("bearer    {key}")),
        at("").header("AUTHORIZATION", &format!("  BEARER\t {key}  ")),
        at("").bearer(key).bearer(key),
        at("").header("x-api-key", key).header("x-api-key", key),
        at("")
            .header("X-Api-Key", key)
            .header("api-key", key)
            .bearer(key),
        at("").header("x-goog-api-key", key),
        at("").header("tollgate-key", key),
        at("")
            .header("tollgate-key", key)
            .header("tollgate-key", key),
        at(&format!("?key={key}")),
        at(&format!("?key={key}&a=1&key={key}")),
        at(&format!("?k%65y={encoded}&%6b%65%79={key}")),
        at(&format!("?api-key={key}&api%2Dkey={key}")),
        at("").header(
            "sec-websocket-protocol",
            &format!("openai-insecure-api-key.{key}"),
        ),
        at(&format!("?key={key}"))
            .bearer(key)
            .header("x-api-key", key)
            .header("api-key", key)
            .header("x-goog-api-key", key)
            .header(
                "sec-websocket-protocol",
                &format!("a, openai-insecure-api-key.{key},b"),
            ),
    ]
}

async fn send(lab: &Lab, client: &mut H1, request: &Request) -> Response {
    let response = client.try_send(request).await;
    let response = response.unwrap_or_else(|error| panic!("{error} after {request:?}"));
    if response.head.closes() || !response.is_whole() {
        *client = client::h1(lab.gateway.address()).await;
    }
    response
}

/// Sends everything, and looks at every answer; how many there were.
async fn run(lab: &Lab) -> usize {
    let mut client = client::h1(lab.gateway.address()).await;
    let (mut answers, mut statuses) = (0, BTreeSet::new());
    for (mode, spec, script, model) in runs() {
        let request = every::request(spec, model, script.starts_with("stream"));
        let request = mode.sign(request.header(SCRIPT, script), &lab.gateway);
        let request = match script {
            "silent" => request.header("tollgate-timeout", "1s"),
            _ => request,
        };
        let response = send(lab, &mut client, &request).await;
        let place = format!("an answer ({mode:?}, {}, {script})", spec.name);
        // A client may be told of its own key.
        let allowed: &[&str] = if mode == Mode::SentAlong {
            &[SENT_ALONG]
        } else {
            &[]
        };
        lab.none_but(allowed, ask::seen(&response).as_bytes(), &place);
        statuses.insert(response.status);
        answers += 1;
    }
    for status in [200, 400, 401, 403, 500, 502, 503, 504] {
        assert!(statuses.contains(&status), "no {status}: {statuses:?}");
    }
    answers
}

/// Paths of one provider, lists of models, what a gateway answers by itself, and what nobody serves.
async fn beside(lab: &Lab) -> usize {
    let mut client = client::h1(lab.gateway.address()).await;
    let (key, stored) = (lab.gateway.key(), lab.gateway.key_named("stored"));
    let chat = every::bytes(&TABLE[0], "one:m", false);
    let own = |request: Request| request.header("tollgate-key", key);
    let requests = [
        (200, get(&format!("/one/v1/files?k%65y={stored}&limit=1"))),
        (200, get(&format!("/two/v1/files?api-key={stored}"))),
        (200, own(get(&format!("/one/v1/files?key={SENT_ALONG}")))),
        (
            200,
            own(client::post("/one/v1/batches", "{}")).bearer(SENT_ALONG),
        ),
        (
            404,
            get("/one/v1/files")
                .header("x-api-key", stored)
                .header(SCRIPT, "404"),
        ),
        (403, get(&format!("/one/v1/files?key={key}"))),
        (200, get(&format!("/v1/models?key={key}"))),
        (200, get("/v1beta/models").header("x-goog-api-key", key)),
        (404, get(&format!("/v1/models/nobodys?key={key}"))),
        (200, get(&format!("/tollgate/v1/credit?key={key}"))),
        (200, client::post("/tollgate/v1/explain", chat).bearer(key)),
        (404, get(&format!("/tollgate/v1/requests/none?key={key}"))),
        (404, get(&format!("/nowhere?key={key}")).bearer(SENT_ALONG)),
        (200, get(&format!("/healthz?key={key}"))),
        (405, get(&format!("/v1/messages?key={key}"))),
    ];
    for (status, request) in &requests {
        let response = send(lab, &mut client, request).await;
        let seen = ask::seen(&response);
        assert_eq!(response.status, *status, "{request:?}: {seen}");
        lab.none_in(seen.as_bytes(), "an answer");
    }
    requests.len()
}

#[tokio::test]
async fn each_secret_is_found_where_it_belongs_and_nowhere_else() {
    let lab = Lab::new().await;
    let mut answers = 0;
    let mut client = client::h1(lab.gateway.address()).await;
    for spec in [&TABLE[0], &TABLE[4]] {
        for key in [lab.gateway.key(), lab.gateway.key_named("stored"), MISTYPED] {
            for request in oddly(key, spec) {
                let response = send(&lab, &mut client, &request).await;
                let expected = if key == MISTYPED { 401 } else { 200 };
                assert_eq!(
                    response.status,
                    expected,
                    "{request:?}: {}",
                    response.text()
                );
                lab.none_in(ask::seen(&response).as_bytes(), "an answer");
                answers += 1;
            }
        }
    }
    let two = every::request(&TABLE[0], "one:m", false)
        .bearer(lab.gateway.key())
        .header("x-api-key", lab.gateway.key_named("stored"));
    let response = send(&lab, &mut client, &two).await;
    assert_eq!(response.status, 400, "{}", response.text());
    lab.none_in(ask::seen(&response).as_bytes(), "an answer");
    answers += 1;

    answers += beside(&lab).await;
    // Last, because it sets keys aside.
    answers += run(&lab).await;
    providers_got_their_own(&lab);
    written(&lab, answers).await;
    told_to_the_operator(&lab).await;
    let Lab { gateway, one, two } = lab;
    let folder = tempfile::tempdir().expect("a folder");
    copy(gateway.folder(), folder.path());
    // With what is written when it stops.
    gateway.signal("TERM");
    gateway.ended().await;
    copy(gateway.folder(), &folder.path().join("stopped"));
    kept(&Lab { gateway, one, two }, folder.path());
}

/// Each upstream got keys that are its own, one in each request, and all that are its own.
fn providers_got_their_own(lab: &Lab) {
    for (id, upstream) in lab.at() {
        let mut own = vec![upstream_key(id, 0), stored_key("acme", id, "main")];
        if id == "one" {
            // Sent along with a request that named it, or was to try it first.
            own.push(SENT_ALONG.to_owned());
        }
        let allowed: Vec<&str> = own.iter().map(String::as_str).collect();
        let mut found = BTreeSet::new();
        for delivery in upstream.deliveries() {
            let got = ask::got(&delivery);
            lab.none_but(&allowed, got.as_bytes(), &format!("what `{id}` got"));
            let keys: Vec<&&str> = allowed.iter().filter(|key| got.contains(**key)).collect();
            assert_eq!(keys.len(), 1, "{got}");
            assert_eq!(got.matches(keys[0]).count(), 1, "{got}");
            found.insert(keys[0].to_string());
        }
        let expected: BTreeSet<String> = own.into_iter().collect();
        assert_eq!(found, expected, "at {id}");
    }
}

/// Logs, in which the ids of keys are.
async fn written(lab: &Lab, answers: usize) {
    lab.gateway.access_lines(answers).await;
    let written = lab.gateway.everything_written();
    assert!(
        written.contains("\"level\":\"debug\""),
        "it does not say all it can"
    );
    for name in ["test", "stored"] {
        assert!(
            written.contains(&lab.gateway.key_named(name)[3..15]),
            "no id"
        );
    }
    lab.none_in(written.as_bytes(), "a log");
}

/// Metrics, and every list of the admin API.
async fn told_to_the_operator(lab: &Lab) {
    let unsigned = lab.gateway.ask_admin("/metrics").await;
    assert_eq!(unsigned.status, 401, "the token is not in use");
    lab.none_in(ask::seen(&unsigned).as_bytes(), "an answer to nobody");
    let acme = "/api/v1/accounts/2";
    for target in [
        "/metrics",
        "/readyz",
        "/healthz",
        "/catalog",
        "/catalog/versions",
        "/api/v1/accounts",
        acme,
        &format!("{acme}/grants"),
        &format!("{acme}/history"),
        "/api/v1/keys",
        &format!("/api/v1/keys/{}", &lab.gateway.key()[3..15]),
        "/api/v1/provider-keys",
        "/api/v1/usage?by=key",
        "/api/v1/usage/rows",
        "/api/v1/journal",
        "/api/v1/check",
        &format!("/api/v1/nowhere?token={TOKEN}"),
        &format!("/api/v1/keys/{MISTYPED}"),
    ] {
        let response = lab.admin(target).await;
        let is_there = !target.contains("nowhere") && !target.contains(MISTYPED);
        assert_eq!(
            response.status < 400,
            is_there,
            "{target}: {}",
            response.text()
        );
        lab.none_in(ask::seen(&response).as_bytes(), target);
    }
    let metrics = lab.admin("/metrics").await.text();
    assert!(metrics.contains("tollgate_requests_total{"), "{metrics}");
}

/// The files of the store and all others of the gateway's, while it ran and when it had stopped.
fn kept(lab: &Lab, folder: &Path) {
    let mut store = Vec::new();
    for (name, bytes) in files(folder) {
        if name == "master-key" {
            let canary = Canary::new("the master key", MASTER_KEY);
            assert!(canary.is_in(&bytes), "it is not where it belongs");
            continue;
        }
        lab.none_in(&bytes, &name);
        if name.starts_with("tollgate.db") {
            store.extend(bytes);
        }
    }
    // Digests of access keys, and hints of the stored ones.
    for name in ["test", "stored"] {
        let digest = sha2::Sha256::digest(lab.gateway.key_named(name).as_bytes());
        assert!(
            memchr::memmem::find(&store, &digest).is_some(),
            "no digest of `{name}`"
        );
    }
    assert!(
        memchr::memmem::find(&store, "sk-…".as_bytes()).is_some(),
        "no hint"
    );
}

/// Copies files as they are, sockets and the like left out.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, kind) = (entry.path(), entry.file_type().expect("a type"));
        let to = to.join(entry.file_name());
        if kind.is_dir() {
            copy(&path, &to);
        } else if kind.is_file() {
            std::fs::copy(&path, &to).expect("a copy");
        }
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a type").is_dir() {
            all.extend(files(&entry.path()));
        } else {
            let name = entry.file_name().to_string_lossy().into_owned();
            all.push((name, std::fs::read(entry.path()).expect("a file")));
        }
    }
    all
}
