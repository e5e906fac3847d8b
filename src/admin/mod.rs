//! The operator's listener: metrics, health, readiness, reload, rollback. Never on a public listener. Absent: what it reports and
//! does, which is asked of [`Control`].

mod guard;
mod versions;

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE,
};
use http::{Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use serde::Serialize;

use crate::metrics::{self, Metrics};

pub use guard::Guard;
pub use versions::{NoRollback, Version};

use guard::Refusal;

/// The rest of the process, as the admin listener sees it.
#[async_trait]
pub trait Control: Send + Sync {
    /// Whether requests can be served now. Must not wait for anything slow.
    fn readiness(&self) -> Readiness;

    /// Reads configuration and catalog again. Returns the version of the catalog in use afterwards, or all problems
    /// found, in which case nothing has changed.
    async fn reload(&self) -> Result<String, Vec<String>>;

    /// Goes back to the catalog before the one in use, or to the kept one of that version; returns its version.
    async fn rollback(&self, to: Option<String>) -> Result<String, NoRollback>;

    /// The versions of the catalog that are kept, newest first.
    async fn versions(&self) -> Vec<Version>;

    /// What users see of the catalog in use, as JSON; `None` before the first.
    async fn catalog(&self) -> Option<Vec<u8>>;
}

/// Whether requests can be served, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Version of the catalog in use; `None` before the first.
    pub catalog: Option<String>,
    /// Access keys known.
    pub access_keys: u64,
    /// Stored provider keys that cannot be opened.
    pub provider_keys_unusable: u64,
    /// Whether the store answers.
    pub store: bool,
    /// Whether the process is ending, and takes no new requests.
    pub draining: bool,
    /// Endpoints that are not ready: `PROVIDER/ENDPOINT`. Requests go elsewhere meanwhile, so that this process is ready.
    pub ejected: Vec<String>,
}

impl Readiness {
    /// Whether a load balancer should send requests here.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.catalog.is_some() && self.store && !self.draining
    }
}

/// The app of the admin listener.
pub struct AdminApp {
    metrics: Arc<Metrics>,
    control: Arc<dyn Control>,
    guard: Guard,
}

/// What is served: nothing else is.
#[derive(Clone, Copy)]
enum Route {
    Health,
    Ready,
    Metrics,
    Catalog,
    Reload,
    Versions,
    Rollback,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            "/metrics" => Some(Self::Metrics),
            "/catalog" => Some(Self::Catalog),
            "/reload" => Some(Self::Reload),
            "/catalog/versions" => Some(Self::Versions),
            "/catalog/rollback" => Some(Self::Rollback),
            _ => None,
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Self::Health | Self::Ready | Self::Metrics | Self::Catalog | Self::Versions => {
                "GET, HEAD"
            }
            Self::Reload | Self::Rollback => "POST",
        }
    }
}

impl AdminApp {
    /// Serves `metrics` and `control` to whom `guard` lets in. `/healthz`, and of `/readyz` the bare answer, are for
    /// everybody who can connect: load balancers have no token.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, control: Arc<dyn Control>, guard: Guard) -> Self {
        Self {
            metrics,
            control,
            guard,
        }
    }

    async fn answer(&self, request: &RequestHeader) -> Response<Vec<u8>> {
        let Some(route) = Route::of(request.uri.path()) else {
            let message = "unknown path; there are /healthz, /readyz, /metrics, /catalog, /catalog/versions, POST /reload and POST /catalog/rollback";
            return error(StatusCode::NOT_FOUND, "unknown_path", message);
        };
        let method = if request.method == Method::HEAD {
            &Method::GET
        } else {
            &request.method
        };
        if !route
            .allow()
            .split(", ")
            .any(|allowed| allowed == method.as_str())
        {
            let message = format!("this path takes {}", route.allow());
            let mut response = error(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                &message,
            );
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(route.allow()));
            return response;
        }
        let allowed = self.guard.check(request);
        match (route, allowed) {
            (Route::Health, _) => json(StatusCode::OK, &Health { ok: true }),
            (Route::Ready, allowed) => ready(&self.control.readiness(), allowed.is_ok()),
            (_, Err(refusal)) => refused(refusal),
            (Route::Metrics, Ok(())) => {
                respond(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.render())
            }
            (Route::Catalog, Ok(())) => catalog(self.control.catalog().await),
            (Route::Reload, Ok(())) => reloaded(self.control.reload().await),
            (Route::Versions, Ok(())) => versions::listed(&self.control.versions().await),
            (Route::Rollback, Ok(())) => match versions::asked_for(request.uri.query()) {
                Ok(to) => versions::rolled_back(self.control.rollback(to).await),
                Err(message) => error(StatusCode::BAD_REQUEST, "invalid_request", message),
            },
        }
    }
}

#[async_trait]
impl ServeHttp for AdminApp {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        if !session.is_body_empty() {
            // No request here needs a body. It is not read, so the connection cannot be used again.
            session.set_keepalive(None);
        }
        let mut response = self.answer(session.req_header()).await;
        if session.req_header().method == Method::HEAD {
            response.body_mut().clear();
        }
        response
    }
}

#[derive(Serialize)]
struct Health {
    ok: bool,
}

#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    catalog: Option<&'a str>,
    access_keys: u64,
    #[serde(skip_serializing_if = "is_none")]
    provider_keys_unusable: u64,
    store: bool,
    draining: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ejected: &'a [String],
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

fn ready(readiness: &Readiness, in_full: bool) -> Response<Vec<u8>> {
    let details = in_full.then_some(Details {
        catalog: readiness.catalog.as_deref(),
        access_keys: readiness.access_keys,
        provider_keys_unusable: readiness.provider_keys_unusable,
        store: readiness.store,
        draining: readiness.draining,
        ejected: &readiness.ejected,
    });
    let ready = readiness.ready();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(status, &Ready { ready, details })
}

fn catalog(outline: Option<Vec<u8>>) -> Response<Vec<u8>> {
    match outline {
        Some(body) => respond(StatusCode::OK, "application/json", body),
        None => error(
            StatusCode::SERVICE_UNAVAILABLE,
            "not_ready",
            "no catalog is in use yet; try again shortly",
        ),
    }
}

#[derive(Serialize)]
struct Outcome {
    reloaded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    catalog: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

fn reloaded(outcome: Result<String, Vec<String>>) -> Response<Vec<u8>> {
    match outcome {
        Ok(version) => json(
            StatusCode::OK,
            &Outcome {
                reloaded: true,
                catalog: Some(version),
                problems: Vec::new(),
            },
        ),
        Err(problems) => json(
            StatusCode::UNPROCESSABLE_ENTITY,
            &Outcome {
                reloaded: false,
                catalog: None,
                problems,
            },
        ),
    }
}

fn refused(refusal: Refusal) -> Response<Vec<u8>> {
    match refusal {
        Refusal::Token => {
            let message = "send `Authorization: Bearer` with the token of `admin.token`";
            let mut response = error(StatusCode::UNAUTHORIZED, "invalid_token", message);
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        Refusal::Browser => {
            let message = "web pages are not served; use an IP address or localhost as the host, or set `admin.token`";
            error(StatusCode::FORBIDDEN, "not_for_web_pages", message)
        }
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    error: Code<'a>,
}

#[derive(Serialize)]
struct Code<'a> {
    code: &'a str,
    message: &'a str,
}

fn error(status: StatusCode, code: &str, message: &str) -> Response<Vec<u8>> {
    json(
        status,
        &Problem {
            error: Code { code, message },
        },
    )
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Vec<u8>> {
    match serde_json::to_vec(value) {
        Ok(mut body) => {
            body.push(b'\n');
            respond(status, "application/json", body)
        }
        Err(_) => respond(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", Vec::new()),
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
