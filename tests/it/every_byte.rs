//! Every surface of the table, streamed and not, with the model named as the provider names it and otherwise, on both kinds
//! of keys, over both protocols: the digest of what the provider got is that of what was sent but for the model's name, and
//! the digest of what the client got that of what the provider sent.

use bytes::Bytes;
use serde_json::json;
use tollgate::surface::{ModelAt, Spec, Surface, Uses};

use crate::every;
use crate::support::client::{Client, Ending, Protocol};
use crate::support::gateway::{Gateway, custom, gateway};
use crate::support::sha;
use crate::support::tls::Authority;
use crate::support::upstream::{self, Reply, Upstream};

/// The model's id at both providers.
const ID: &str = "m-1.5";
/// Other names of it, a shorter and a longer one.
const ALIASES: [&str; 2] = ["m", "a-much-longer-name-of-the-same"];

struct Lab {
    gateway: Gateway,
    authority: Authority,
    upstreams: [(&'static str, Upstream); 2],
}

impl Lab {
    async fn new() -> Self {
        let authority = Authority::new();
        let plain = upstream::h1().start().await;
        let h2 = upstream::h2_tls(&authority).start().await;
        let of = |id: &str| {
            let model = json!({
                "aliases": ALIASES, "context": 1_000_000, "price": {"input": "1", "output": "2"}
            });
            every::speaking_every(custom(id)).set("models", json!({ ID: model }))
        };
        let gateway = gateway()
            .trust(&authority)
            .custom(of("plain"), &plain)
            .custom(of("h2"), &h2)
            .start()
            .await;
        Self {
            gateway,
            authority,
            upstreams: [("plain", plain), ("h2", h2)],
        }
    }
}

/// One way of asking.
#[derive(Clone, Copy, Debug)]
struct Case {
    surface: Surface,
    streamed: bool,
    /// On a key of the client's own.
    own: bool,
}

/// An answer in pieces that no event and no letter ends with.
fn answer(case: Case) -> (Reply, Bytes) {
    let (kind, bytes) = if case.streamed {
        ("text/event-stream; charset=utf-8", stream())
    } else if case.surface == Surface::AudioSpeech {
        ("audio/mpeg", (0..=255_u8).cycle().take(70_001).collect())
    } else {
        let text = "{ \"id\":\"\\u00e9 é 😀 \\/\", \"x\":1.50e+0,\r\n\t\"data\": [1 ,2],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7} }\n\n";
        ("application/json", text.as_bytes().to_vec())
    };
    let reply = Reply::status(200)
        .header("content-type", kind)
        .header("x-of-the-provider", "said");
    let reply = bytes
        .chunks(if bytes.len() > 1_000 { 997 } else { 7 })
        .fold(reply, |reply, piece| reply.piece(piece.to_vec()));
    let reply = if case.streamed {
        reply.chunked()
    } else {
        reply
    };
    (reply, bytes.into())
}

/// Whatever the format of event streams allows, and some that providers send.
fn stream() -> Vec<u8> {
    [
        ": OPENROUTER PROCESSING\n\n",
        "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"é 😀\"}}] }\n\n",
        "data:{\"no\":\"space\"}\r\n\r\n",
        "id: 7\nretry: 10\ndata: [1,\ndata: 2]\n\n",
        "event: not.made.yet\ndata: {\"x\":1.50e+0}\n\n\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n",
        "data: [DONE]\n\n",
        ": keep-alive\n",
    ]
    .concat()
    .into_bytes()
}

impl Case {
    fn spec(self) -> &'static Spec {
        self.surface.spec()
    }

    /// Asks for the model by `name`, which is `id` with the provider's before it, or another one.
    async fn check(self, lab: &Lab, client: &mut Client, at: &(&str, Upstream), name: &str) {
        let (provider, upstream) = at;
        let context = format!("{self:?}, {provider}, {name}");
        let (reply, sent_back) = answer(self);
        upstream.push(reply);
        let request =
            every::request(self.spec(), name, self.streamed).header("tollgate-provider", provider);
        let request = if self.own {
            let request = request.header("tollgate-key", lab.gateway.key());
            request.bearer("sk-of-the-client")
        } else {
            request.bearer(lab.gateway.key())
        };
        let before = upstream.count();
        let response = client.send(&request).await;
        assert_eq!(response.status, 200, "{context}: {}", response.text());
        let source = if self.own { "request" } else { "gateway" };
        assert_eq!(
            response.header("tollgate-credential"),
            Some(source),
            "{context}"
        );

        let arrived = upstream.deliveries_since(before).remove(0);
        assert!(arrived.complete, "{context}");
        let expected = every::bytes(self.spec(), ID, self.streamed);
        let digest = Some(sha::hex(&expected));
        assert_eq!(
            arrived.sha256,
            digest,
            "{context}: {}",
            String::from_utf8_lossy(&arrived.body)
        );
        assert_eq!(
            arrived.target,
            every::target(self.spec(), ID, self.streamed),
            "{context}"
        );
        // The name in a path is no part of the body.
        let edited = name != ID && self.spec().model_at != ModelAt::Path;
        let edits = edited.then_some("E1");
        assert_eq!(response.header("tollgate-edits"), edits, "{context}");

        assert_eq!(response.ending, Ending::Whole, "{context}");
        assert_eq!(
            sha::hex(&response.body),
            sha::hex(&sent_back),
            "{context}: {}",
            response.text()
        );
        assert_eq!(
            response.header("x-of-the-provider"),
            Some("said"),
            "{context}"
        );
    }
}

async fn every_surface(client: Protocol) {
    let lab = Lab::new().await;
    let mut connection = Client::connect(client, lab.gateway.address(), &lab.authority).await;
    let mut checked = 0;
    for surface in every::surfaces().map(|spec| spec.surface) {
        for (streamed, own) in [(false, false), (false, true), (true, false), (true, true)] {
            // What nobody can bound is for keys of the caller's own.
            if surface.uses() == Uses::Untold && !own {
                continue;
            }
            let case = Case {
                surface,
                streamed,
                own,
            };
            for at in &lab.upstreams {
                let prefixed = format!("{}:{ID}", at.0);
                for name in [ID, &prefixed, ALIASES[0], ALIASES[1]] {
                    case.check(&lab, &mut connection, at, name).await;
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > every::surfaces().count() * 16, "{checked}");
    for (id, upstream) in &lab.upstreams {
        assert_eq!(upstream.complaints(), Vec::<String>::new(), "{id}");
    }
}

#[tokio::test]
async fn every_byte_of_every_surface_arrives_from_h1() {
    every_surface(Protocol::H1).await;
}

#[tokio::test]
async fn every_byte_of_every_surface_arrives_from_h2() {
    every_surface(Protocol::H2c).await;
}
