//! The admin app on a real socket, as a load balancer, Prometheus and `tollgate reload` see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{AdminApp, Control, Guard, NoRollback, Readiness, Version};
use crate::metrics::Metrics;
use crate::secret::Secret;

const TOKEN: &str = "s3cret";

/// A process that is ready unless told otherwise, and whose reload fails when told so.
struct Process {
    store: AtomicBool,
    files_are_good: AtomicBool,
}

#[async_trait]
impl Control for Process {
    fn readiness(&self) -> Readiness {
        Readiness {
            catalog: Some("c0ffee".to_owned()),
            access_keys: 3,
            provider_keys_unusable: 0,
            store: self.store.load(Ordering::SeqCst),
            draining: false,
            ejected: Vec::new(),
        }
    }

    async fn reload(&self) -> Result<String, Vec<String>> {
        tokio::task::yield_now().await;
        if self.files_are_good.load(Ordering::SeqCst) {
            Ok("c0ffee2".to_owned())
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
}

struct Admin {
    app: Arc<AdminApp>,
    process: Arc<Process>,
}

impl Admin {
    fn new(guard: Guard) -> Self {
        let process = Arc::new(Process {
            store: AtomicBool::new(true),
            files_are_good: AtomicBool::new(true),
        });
        let metrics = Arc::new(Metrics::new(&[]).expect("families"));
        let control: Arc<dyn Control> = Arc::clone(&process) as _;
        Self {
            app: Arc::new(AdminApp::new(metrics, control, guard)),
            process,
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
async fn a_live_process_says_so() {
    let admin = Admin::new(Guard::Loopback);
    assert_eq!(
        admin.get("/healthz").await,
        (200, "{\"ok\":true}\n".to_owned())
    );
}

#[tokio::test]
async fn readiness_follows_what_it_depends_on() {
    let admin = Admin::new(Guard::Loopback);
    let (status, body) = admin.get("/readyz").await;
    assert_eq!(status, 200);
    assert_eq!(
        body,
        "{\"ready\":true,\"catalog\":\"c0ffee\",\"access_keys\":3,\"store\":true,\"draining\":false}\n"
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
    let admin = Admin::new(Guard::Loopback);
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
    let admin = Admin::new(Guard::Loopback);
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
    let admin = Admin::new(Guard::Loopback);
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
    let admin = Admin::new(Guard::Loopback);
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
    let admin = Admin::new(Guard::Loopback);
    let (status, body) = admin.get("/catalog/versions").await;
    let kept = "{\"versions\":[{\"version\":\"c0ffee\",\"since\":\"2026-01-02T03:04:05Z\",\"in_use\":true}]}\n";
    assert_eq!((status, body.as_str()), (200, kept));
    assert_eq!(admin.get("/catalog/rollback").await.0, 405);
}

#[tokio::test]
async fn a_head_request_gets_the_head_alone() {
    let admin = Admin::new(Guard::Loopback);
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
    let admin = Admin::new(Guard::Loopback);
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
    let admin = Admin::new(Guard::Token(Secret::new(TOKEN)));
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
    let admin = Admin::new(Guard::Loopback);
    admin.process.files_are_good.store(false, Ordering::SeqCst);
    let head = "POST /reload HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: https://evil.example\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(split(&admin.ask(head).await).0, 403);
}

#[tokio::test]
async fn a_request_with_a_body_is_answered_and_its_connection_closed() {
    let admin = Admin::new(Guard::Loopback);
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
