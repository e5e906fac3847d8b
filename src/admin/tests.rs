//! The admin app on a real socket, as a load balancer, Prometheus and `tollgate reload` see it.

mod audit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{
    AdminApp, Control, Door, Guard, LedgerState, NoRollback, NoUpgrade, Readiness, Reloaded,
    Version,
};
use crate::byok::master::{MasterKey, MasterKeys, Masters};
use crate::metrics::Metrics;
use crate::secret::Secret;
use crate::store::Store;

const TOKEN: &str = "s3cret";

/// A process that is ready unless told otherwise, and whose reload fails when told so.
pub(super) struct Process {
    store: AtomicBool,
    drained: AtomicBool,
    pub(super) files_are_good: AtomicBool,
}

#[async_trait]
impl Control for Process {
    fn readiness(&self) -> Readiness {
        Readiness {
            catalog: Some("c0ffee".to_owned()),
            access_keys: 3,
            provider_keys_unusable: 0,
            store: self.store.load(Ordering::SeqCst),
            ledger: LedgerState::Up,
            draining: self.drained.load(Ordering::SeqCst),
            ejected: Vec::new(),
        }
    }

    async fn reload(&self) -> Result<Reloaded, Vec<String>> {
        tokio::task::yield_now().await;
        if self.files_are_good.load(Ordering::SeqCst) {
            Ok(Reloaded {
                catalog: "c0ffee2".to_owned(),
                at_next_start: Vec::new(),
            })
        } else {
            Err(vec!["acme.json:7:3: models: not \"an\" object".to_owned()])
        }
    }

    async fn rollback(&self, to: Option<String>) -> Result<String, NoRollback> {
        match to.as_deref() {
            _ if !self.files_are_good.load(Ordering::SeqCst) => {
                Err(NoRollback::Problems(vec!["no key".to_owned()]))
            }
            None => Ok("c0ffee0".to_owned()),
            Some("c0ffee1") => Ok("c0ffee1".to_owned()),
            Some(_) => Err(NoRollback::NotKept),
        }
    }

    async fn versions(&self) -> Vec<Version> {
        vec![Version {
            version: "c0ffee".to_owned(),
            since: "2026-01-02T03:04:05Z".to_owned(),
            in_use: true,
        }]
    }

    async fn catalog(&self) -> Option<Vec<u8>> {
        let is_known = self.store.load(Ordering::SeqCst);
        is_known.then(|| br#"{"version":"c0ffee"}"#.to_vec())
    }

    async fn upgrade(&self) -> Result<u32, NoUpgrade> {
        if !self.store.load(Ordering::SeqCst) {
            return Err(NoUpgrade::UnderWay);
        }
        match self.files_are_good.load(Ordering::SeqCst) {
            true => Ok(7),
            false => Err(NoUpgrade::Problems(vec!["no such program".to_owned()])),
        }
    }

    fn drain(&self, on: bool) {
        self.drained.store(on, Ordering::SeqCst);
    }

    fn provider(&self, name: &str) -> Option<String> {
        (name == "openai" || name == "oai").then(|| "openai".to_owned())
    }

    fn masters(&self) -> Arc<Masters> {
        let key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        let keys: &[MasterKey] = match self.files_are_good.load(Ordering::SeqCst) {
            true => &[key.parse().expect("a master key")],
            false => &[],
        };
        Arc::new(Masters {
            keys: MasterKeys::new(keys),
            problems: Vec::new(),
        })
    }
}

pub(super) struct Admin {
    app: Arc<AdminApp>,
    pub(super) process: Arc<Process>,
    _folder: TempDir,
}

impl Admin {
    pub(super) async fn new(guard: Guard) -> Self {
        let process = Arc::new(Process {
            store: AtomicBool::new(true),
            drained: AtomicBool::new(false),
            files_are_good: AtomicBool::new(true),
        });
        let metrics = Arc::new(Metrics::new(&[]).expect("families"));
        let control: Arc<dyn Control> = Arc::clone(&process) as _;
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        Self {
            app: Arc::new(AdminApp::new(
                metrics,
                control,
                Arc::new(store),
                Arc::new(Door::new(guard)),
            )),
            process,
            _folder: folder,
        }
    }

    /// Serves one request on a connection of its own and returns everything that was sent back.
    async fn ask(&self, request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound"))
            .await
            .expect("connects");
        let (server, _) = listener.accept().await.expect("accepts");
        client.write_all(request.as_bytes()).await.expect("sends");
        let (_keep, shutdown) = watch::channel(false);
        let session = ServerSession::new_http1(Box::new(Stream::from(server)));
        drop(self.app.process_new_http(session, &shutdown).await);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.expect("answers");
        answer
    }

    async fn get(&self, path: &str) -> (u16, String) {
        split(
            &self
                .ask(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
                .await,
        )
    }

    /// Sends JSON, and reads it back.
    pub(super) async fn send(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let (status, answer) = split(
            &self
                .ask(&format!(
                    "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                ))
                .await,
        );
        (status, serde_json::from_str(&answer).expect("JSON"))
    }

    async fn post(&self, path: &str) -> (u16, String) {
        split(
            &self
                .ask(&format!(
                    "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n"
                ))
                .await,
        )
    }
}

fn split(answer: &str) -> (u16, String) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    (status, body.to_owned())
}

#[tokio::test]
async fn drained_it_is_alive_and_not_ready_until_told_otherwise() {
    let admin = Admin::new(Guard::Loopback).await;
    for (method, status, draining) in [
        ("POST", 503, true),
        ("POST", 503, true),
        ("DELETE", 200, false),
    ] {
        let done = admin.send(method, "/drain", "").await;
        assert_eq!(done, (200, json!({ "draining": draining })));
        let (found, body) = admin.get("/readyz").await;
        assert_eq!(found, status);
        assert!(body.contains(&format!("\"draining\":{draining}")), "{body}");
        assert_eq!(admin.get("/healthz").await.0, 200);
    }
}

#[tokio::test]
async fn a_live_process_says_so() {
    let admin = Admin::new(Guard::Loopback).await;
    assert_eq!(
        admin.get("/healthz").await,
        (200, "{\"ok\":true}\n".to_owned())
    );
}

#[tokio::test]
async fn readiness_follows_what_it_depends_on() {
    let admin = Admin::new(Guard::Loopback).await;
    let (status, body) = admin.get("/readyz").await;
    assert_eq!(status, 200);
    assert_eq!(
        body,
        "{\"ready\":true,\"catalog\":\"c0ffee\",\"access_keys\":3,\"store\":true,\"ledger\":\"up\",\"draining\":false}\n"
    );
    admin.process.store.store(false, Ordering::SeqCst);
    let (status, body) = admin.get("/readyz").await;
    assert!(
        status == 503 && body.starts_with("{\"ready\":false,"),
        "{status} {body}"
    );
}

#[test]
fn each_thing_that_is_missing_makes_it_unready() {
    let good = Readiness {
        catalog: Some(String::new()),
        access_keys: 0,
        provider_keys_unusable: 2,
        store: true,
        ledger: LedgerState::Up,
        draining: false,
        ejected: vec!["one/a".to_owned()],
    };
    assert!(good.ready());
    assert!(
        !Readiness {
            catalog: None,
            ..good.clone()
        }
        .ready()
    );
    assert!(
        !Readiness {
            store: false,
            ..good.clone()
        }
        .ready()
    );
    assert!(
        !Readiness {
            draining: true,
            ..good
        }
        .ready()
    );
}

#[tokio::test]
async fn prometheus_gets_the_metrics() {
    let admin = Admin::new(Guard::Loopback).await;
    let answer = admin
        .ask("GET /metrics HTTP/1.1\r\nHost: localhost:8081\r\n\r\n")
        .await;
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("\r\ncontent-type: text/plain; version=0.0.4\r\n"),
        "{answer}"
    );
    assert!(answer.contains("\ntollgate_in_flight 0\n"));
}

#[tokio::test]
async fn the_catalog_in_use_is_told_as_soon_as_there_is_one() {
    let admin = Admin::new(Guard::Loopback).await;
    assert_eq!(
        admin.get("/catalog").await,
        (200, r#"{"version":"c0ffee"}"#.to_owned())
    );
    admin.process.store.store(false, Ordering::SeqCst);
    let (status, body) = admin.get("/catalog").await;
    assert!(status == 503 && body.contains("not_ready"), "{body}");
}

#[tokio::test]
async fn a_reload_answers_with_its_outcome() {
    let admin = Admin::new(Guard::Loopback).await;
    assert_eq!(
        admin.post("/reload").await,
        (
            200,
            "{\"reloaded\":true,\"catalog\":\"c0ffee2\"}\n".to_owned()
        )
    );
    admin.process.files_are_good.store(false, Ordering::SeqCst);
    let (status, body) = admin.post("/reload").await;
    let problem =
        "{\"reloaded\":false,\"problems\":[\"acme.json:7:3: models: not \\\"an\\\" object\"]}\n";
    assert_eq!((status, body.as_str()), (422, problem));
}

#[tokio::test]
async fn a_rollback_goes_to_the_version_before_or_to_one_that_is_named() {
    let admin = Admin::new(Guard::Loopback).await;
    let (status, body) = admin.post("/catalog/rollback").await;
    let done = "{\"rolled_back\":true,\"catalog\":\"c0ffee0\"}\n";
    assert_eq!((status, body.as_str()), (200, done));
    let (status, body) = admin.post("/catalog/rollback?version=c0ffee1").await;
    assert!(status == 200 && body.contains("c0ffee1"), "{status} {body}");
    let (status, body) = admin.post("/catalog/rollback?version=other").await;
    assert!(
        status == 409 && body.contains("\"not_kept\""),
        "{status} {body}"
    );
    for query in ["?version=", "?version=a%20b", "?to=c0ffee1", "?c0ffee1"] {
        let (status, body) = admin.post(&format!("/catalog/rollback{query}")).await;
        assert!(
            status == 400 && body.contains("/catalog/versions"),
            "{query}: {status} {body}"
        );
    }
    admin.process.files_are_good.store(false, Ordering::SeqCst);
    let (status, body) = admin.post("/catalog/rollback").await;
    let problem = "{\"rolled_back\":false,\"problems\":[\"no key\"]}\n";
    assert_eq!((status, body.as_str()), (422, problem));
}

#[tokio::test]
async fn the_versions_that_are_kept_are_listed() {
    let admin = Admin::new(Guard::Loopback).await;
    let (status, body) = admin.get("/catalog/versions").await;
    let kept = "{\"versions\":[{\"version\":\"c0ffee\",\"since\":\"2026-01-02T03:04:05Z\",\"in_use\":true}]}\n";
    assert_eq!((status, body.as_str()), (200, kept));
    assert_eq!(admin.get("/catalog/rollback").await.0, 405);
}

#[tokio::test]
async fn a_head_request_gets_the_head_alone() {
    let admin = Admin::new(Guard::Loopback).await;
    let answer = admin
        .ask("HEAD /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .await;
    let (status, body) = split(&answer);
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("content-length: 12\r\n"),
        "{answer}"
    );
    assert_eq!((status, body.as_str()), (200, ""));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_with_what_there_is() {
    let admin = Admin::new(Guard::Loopback).await;
    for path in ["/", "/metrics/", "/reload/x", "/v1/chat/completions"] {
        let (status, body) = admin.get(path).await;
        assert!(
            status == 404 && body.contains("\"unknown_path\""),
            "{path}: {status} {body}"
        );
    }
    let answer = admin
        .ask("GET /reload HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 405 ")
            && answer.to_ascii_lowercase().contains("\r\nallow: post\r\n"),
        "{answer}"
    );
    assert_eq!(admin.post("/metrics").await.0, 405);
    assert_eq!(
        split(
            &admin
                .ask("OPTIONS /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                .await
        )
        .0,
        405
    );
    assert_eq!(
        split(
            &admin
                .ask("PO /reload HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                .await
        )
        .0,
        405
    );
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_is_one() {
    let admin = Admin::new(Guard::Token(Secret::new(TOKEN))).await;
    let (status, body) = admin.get("/metrics").await;
    assert!(
        status == 401 && !body.contains("tollgate_") && !body.contains(TOKEN),
        "{status} {body}"
    );
    assert_eq!(admin.post("/reload").await.0, 401);
    assert_eq!(admin.post("/catalog/rollback").await.0, 401);
    assert_eq!(admin.get("/catalog/versions").await.0, 401);
    assert_eq!(
        admin.get("/readyz").await,
        (200, "{\"ready\":true}\n".to_owned())
    );
    assert_eq!(admin.get("/healthz").await.0, 200);
    let with_token =
        format!("GET /metrics HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    assert_eq!(split(&admin.ask(&with_token).await).0, 200);
}

#[tokio::test]
async fn a_web_page_cannot_make_it_reload() {
    let admin = Admin::new(Guard::Loopback).await;
    admin.process.files_are_good.store(false, Ordering::SeqCst);
    let head = "POST /reload HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(split(&admin.ask(head).await).0, 403);
}

#[tokio::test]
async fn a_request_with_a_body_is_answered_and_its_connection_closed() {
    let admin = Admin::new(Guard::Loopback).await;
    let request = "POST /reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\n\r\nhello";
    let answer = admin.ask(request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("\r\nconnection: close\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn accounts_and_keys_are_made_and_listed_in_pages() {
    let admin = Admin::new(Guard::Loopback).await;
    let mut numbers = Vec::new();
    for name in ["zeta", "acme & co", "beta"] {
        let (status, made) = admin
            .send(
                "POST",
                "/api/v1/accounts",
                &json!({"name": name}).to_string(),
            )
            .await;
        assert_eq!((status, &made["name"]), (201, &json!(name)));
        numbers.push(made["id"].as_i64().expect("a number"));
    }
    let again = r#"{"name":"zeta"}"#;
    let (status, refused) = admin.send("POST", "/api/v1/accounts", again).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("account_exists"))
    );

    let (_, first) = admin.send("GET", "/api/v1/accounts?limit=2", "").await;
    let cursor = first["next_cursor"].as_str().expect("a further page");
    let next = format!("/api/v1/accounts?limit=2&cursor={cursor}");
    let (_, second) = admin.send("GET", &next, "").await;
    let ids = |page: &Value| {
        let data = page["data"].as_array().expect("entries");
        data.iter()
            .filter_map(|it| it["id"].as_i64())
            .collect::<Vec<_>>()
    };
    assert_eq!([ids(&first), ids(&second)].concat(), numbers);
    assert_eq!(second["next_cursor"], Value::Null);
    let (_, named) = admin
        .send("GET", "/api/v1/accounts?name=acme+%26+co", "")
        .await;
    assert_eq!(ids(&named), [numbers[1]]);
    let one = format!("/api/v1/accounts/{}", numbers[2]);
    assert_eq!(admin.send("GET", &one, "").await.1["name"], "beta");
    for unknown in ["9", "0", "-1", "x", "99999999999999999999"] {
        let (status, refused) = admin
            .send("GET", &format!("/api/v1/accounts/{unknown}"), "")
            .await;
        let code = &refused["error"]["code"];
        assert_eq!(
            (status, code),
            (404, &json!("unknown_account")),
            "{unknown}"
        );
    }
}

#[tokio::test]
async fn a_key_is_shown_once_then_disabled_enabled_and_revoked() {
    let admin = Admin::new(Guard::Loopback).await;
    admin
        .send("POST", "/api/v1/accounts", r#"{"name":"acme"}"#)
        .await;
    let new = json!({
        "name": "ci", "account": 1, "expires": "2100-01-01T00:00:00+01:00",
        "policy": {"allow_models": ["gpt-*"], "credential_steps": ["gateway"]},
    });
    let (status, made) = admin.send("POST", "/api/v1/keys", &new.to_string()).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().expect("an id").to_owned();
    let secret = made["access_key"].as_str().expect("a key");
    assert!(secret.starts_with(&format!("tg-{id}")));
    assert_eq!(made["expires"], "2099-12-31T23:00:00Z");
    assert_eq!(made["policy"], new["policy"]);
    assert_eq!(made["account"], json!({"id": 1, "name": "acme"}));

    let path = format!("/api/v1/keys/{id}");
    let mut shown = made.clone();
    shown
        .as_object_mut()
        .expect("an object")
        .remove("access_key");
    assert_eq!(admin.send("GET", &path, "").await, (200, shown.clone()));
    let page = json!({"data": [shown], "next_cursor": null});
    assert_eq!(
        admin.send("GET", "/api/v1/keys?account=1", "").await,
        (200, page)
    );

    let limits = json!({"requests_minute": 60, "spend_day": "12.5"});
    let change = json!({"limits": limits}).to_string();
    let (status, changed) = admin.send("PATCH", &path, &change).await;
    assert_eq!((status, &changed["policy"]["limits"]), (200, &limits));
    assert_eq!(changed["policy"]["allow_models"], json!(["gpt-*"]));
    // What is not named stays; null takes a limit away.
    let more = json!({"limits": {"in_flight": 3, "spend_day": null}}).to_string();
    let (status, changed) = admin.send("PATCH", &path, &more).await;
    let left = json!({"requests_minute": 60, "in_flight": 3});
    assert_eq!((status, &changed["policy"]["limits"]), (200, &left));
    let wrong = json!({"limits": {"requests_minute": 0}}).to_string();
    assert_eq!(admin.send("PATCH", &path, &wrong).await.0, 422);
    for (state, expected) in [
        ("disabled", "disabled"),
        ("active", "active"),
        ("revoked", "revoked"),
    ] {
        let change = json!({"state": state}).to_string();
        let (status, changed) = admin.send("PATCH", &path, &change).await;
        assert_eq!((status, &changed["state"]), (200, &json!(expected)));
    }
    let (status, refused) = admin.send("PATCH", &path, r#"{"state":"active"}"#).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("key_revoked"))
    );
}

#[tokio::test]
async fn a_body_is_json_within_bounds_and_says_nothing_unknown() {
    let admin = Admin::new(Guard::Loopback).await;
    for (body, status, words) in [
        ("", 400, "not JSON"),
        (r#"{"name":"a""#, 400, "not JSON"),
        (r#"{"name":"a"} x"#, 400, "not JSON"),
        ("[]", 400, "expected an object"),
        (r#"["a"]"#, 400, "expected an object"),
        ("{}", 400, "missing field `name`"),
        (r#"{"name":"a","nam":1}"#, 400, "unknown field `nam`"),
        (r#"{"name":"a","name":"b"}"#, 400, "a member twice"),
        (r#"{"name":7}"#, 400, "name: expected a string"),
        (r#"{"name":" a"}"#, 422, "no blank at its ends"),
    ] {
        let (got, refused) = admin.send("POST", "/api/v1/accounts", body).await;
        let message = refused["error"]["message"].as_str().expect("words");
        assert!(
            got == status && message.contains(words),
            "{body}: {got} {message}"
        );
    }
    let long = format!(r#"{{"name":"{}"}}"#, "a".repeat(64 << 10));
    let (status, refused) = admin.send("POST", "/api/v1/accounts", &long).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (413, &json!("body_too_large"))
    );
    let (_, none) = admin.send("GET", "/api/v1/accounts", "").await;
    assert_eq!(none["data"], json!([]));
}

#[tokio::test]
async fn what_a_browser_sends_without_asking_is_refused() {
    let admin = Admin::new(Guard::Socket).await;
    let body = r#"{"name":"a"}"#;
    for media in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=application/json\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
    ] {
        let request = format!(
            "POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\n{media}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = admin.ask(&request).await;
        assert!(answer.starts_with("HTTP/1.1 415 "), "{media}: {answer}");
        assert!(answer.contains("unsupported_media_type"), "{answer}");
    }
    let fine = format!(
        "POST /api/v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Type: Application/JSON ; charset=utf-8\r\n\
         Expect: 100-continue\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = admin.ask(&fine).await;
    assert!(answer.starts_with("HTTP/1.1 100 "), "{answer}");
    assert!(answer.contains("\r\n\r\nHTTP/1.1 201 "), "{answer}");
}

#[tokio::test]
async fn the_api_is_behind_the_guard() {
    let admin = Admin::new(Guard::Token(Secret::new(TOKEN))).await;
    for row in super::route::rows() {
        if row.path.starts_with("/api/") {
            let path = row.path.replace(['{', '}'], "");
            let (status, refused) = admin.send(row.verb.as_str(), &path, "{}").await;
            let code = &refused["error"]["code"];
            assert_eq!((status, code), (401, &json!("invalid_token")), "{path}");
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_is_told_as_such() {
    let admin = Admin::new(Guard::Loopback).await;
    admin.app.store.close().await;
    let (status, refused) = admin.send("GET", "/api/v1/accounts", "").await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (503, &json!("store_unavailable"))
    );
}
