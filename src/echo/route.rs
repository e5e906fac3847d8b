//! From method, path and body to an answer. Paths are matched at their end, so that any prefix will do.

use http::{Method, StatusCode};
use serde_json::json;

use super::reply::{Refusal, Reply, Stamp, Vendor};
use super::{chat, completions, embeddings, messages, names, responses};

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `POST /chat/completions`.
    Chat,
    /// `POST /completions`.
    Completions,
    /// `POST /responses`.
    Responses,
    /// `POST /embeddings`.
    Embeddings,
    /// `POST /messages`.
    Messages,
    /// `POST /messages/count_tokens`.
    CountTokens,
    /// `GET /models`.
    Models,
}

/// Ends of paths. The first that fits is taken, so a longer one stands before the shorter one it ends in.
const ENDS: [(&str, Route); 7] = [
    ("/chat/completions", Route::Chat),
    ("/completions", Route::Completions),
    ("/responses", Route::Responses),
    ("/embeddings", Route::Embeddings),
    ("/messages/count_tokens", Route::CountTokens),
    ("/messages", Route::Messages),
    ("/models", Route::Models),
];

/// Whether there is a route of exactly this path, below the base URL.
#[must_use]
pub fn serves(path: &str) -> bool {
    ENDS.iter().any(|(end, _)| *end == path)
}

impl Route {
    /// The route of a path without its query.
    ///
    /// # Errors
    /// 404 for a path that is not served, 405 for a method that is not the path's.
    pub fn find(method: &Method, path: &str) -> Result<Self, Refusal> {
        let found = ENDS
            .iter()
            .find(|(end, _)| path.ends_with(end))
            .map(|(_, route)| *route);
        let Some(route) = found else {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                format!("echo does not serve {path}"),
            ));
        };
        if method != route.method() {
            let message = format!("use {} on {path}", route.method());
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message));
        }
        Ok(route)
    }

    fn method(self) -> Method {
        if self == Self::Models {
            Method::GET
        } else {
            Method::POST
        }
    }

    /// The vendor whose API the route is. The model list is both vendors': the client's headers tell.
    #[must_use]
    pub fn vendor(self, with_anthropic_version: bool) -> Vendor {
        match self {
            Self::Messages | Self::CountTokens => Vendor::Anthropic,
            Self::Models if with_anthropic_version => Vendor::Anthropic,
            _ => Vendor::OpenAi,
        }
    }

    /// Answers a request whose body is whole.
    ///
    /// # Errors
    /// The refusal of the route's surface.
    pub fn answer(self, vendor: Vendor, body: &[u8], stamp: &Stamp) -> Result<Reply, Refusal> {
        match self {
            Self::Chat => chat::answer(body, stamp),
            Self::Completions => completions::answer(body, stamp),
            Self::Responses => responses::answer(body, stamp),
            Self::Embeddings => embeddings::answer(body),
            Self::Messages => messages::answer(body, stamp),
            Self::CountTokens => messages::count_tokens(body),
            Self::Models => Ok(models(vendor)),
        }
    }
}

/// The model list: every name is served, these are examples of each behaviour.
fn models(vendor: Vendor) -> Reply {
    let entries = names::LISTED.iter().map(|name| match vendor {
        Vendor::OpenAi => json!({"id": name, "object": "model", "created": 0, "owned_by": "echo"}),
        Vendor::Anthropic => json!({
            "id": name, "type": "model", "display_name": name,
            "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active",
        }),
    });
    let data: Vec<_> = entries.collect();
    Reply::Json(match vendor {
        Vendor::OpenAi => json!({"object": "list", "data": data}),
        Vendor::Anthropic => json!({
            "data": data, "has_more": false, "first_id": names::LISTED.first(), "last_id": names::LISTED.last(),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_below_any_prefix_and_the_longer_end_wins() {
        let post = |path| Route::find(&Method::POST, path);
        assert_eq!(post("/v1/chat/completions"), Ok(Route::Chat));
        assert_eq!(post("/a/b/v1/completions"), Ok(Route::Completions));
        assert_eq!(post("/responses"), Ok(Route::Responses));
        assert_eq!(post("/v1/messages/count_tokens"), Ok(Route::CountTokens));
        assert_eq!(post("/v1/messages"), Ok(Route::Messages));
        assert_eq!(Route::find(&Method::GET, "/v1/models"), Ok(Route::Models));
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        let status = |method, path| Route::find(&method, path).unwrap_err().status.as_u16();
        assert_eq!(status(Method::POST, "/v1/xmessages"), 404);
        assert_eq!(status(Method::POST, "/v1/messages/"), 404);
        assert_eq!(status(Method::GET, "/"), 404);
        assert_eq!(status(Method::GET, "/v1/messages"), 405);
        assert_eq!(status(Method::POST, "/v1/models"), 405);
    }

    #[test]
    fn the_model_list_has_the_shape_of_the_vendor_that_is_asked() {
        let openai = models(Vendor::OpenAi).json();
        assert_eq!(
            (&openai["object"], &openai["data"][0]["id"]),
            (&json!("list"), &json!("echo"))
        );
        let anthropic = models(Vendor::Anthropic).json();
        assert_eq!(
            (&anthropic["first_id"], &anthropic["data"][0]["type"]),
            (&json!("echo"), &json!("model"))
        );
        assert_eq!(Route::Models.vendor(true), Vendor::Anthropic);
        assert_eq!(Route::Chat.vendor(true), Vendor::OpenAi);
    }
}
