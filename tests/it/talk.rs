//! A gateway with an account that pays for conversations with the model of one provider.

use std::time::Duration;

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tollgate::money::Credits;
use tollgate::store::{RowId, RowState, Store, UsageRow, Used};

use crate::support::gateway::{Builder, Gateway, gateway};
use crate::support::wait;
use crate::support::websocket::{self as ws, Client, Fake, Message};

/// What [`ws::DONE`] costs in nano-dollars: four tokens of text that were read, two of them from a cache, six of sound; five
/// of text that were written and fifteen of sound.
pub const COST: i64 = (2 + 1 + 6 * 3 + 5 * 2 + 15 * 5) * 1_000;

/// What [`ws::CACHED`] costs: three tokens of fresh text and one from a cache, two of fresh sound and four from a cache; the
/// same was written.
pub const CACHED_COST: i64 = 3_000 + 500 + (2 * 3 + 4 + 5 * 2 + 15 * 5) * 1_000;

/// What is held for a response: a context of sound, and the longest answer of sound.
pub const HOLD: i64 = (1_000 * 3 + 100 * 5) * 1_000;

/// What is held for a response of ten tokens.
pub const SHORT_HOLD: i64 = (1_000 * 3 + 10 * 5) * 1_000;

/// Where it is asked for.
pub const TARGET: &str = "/v1/realtime?model=one:m";

/// A provider, and a gateway before it.
pub struct Lab {
    pub fake: Fake,
    pub gateway: Gateway,
    pub store: Store,
}

/// A gateway whose account has so much credit for the provider there.
pub fn before(base_url: &str, nanos: i64) -> Builder {
    let file = json!({
        "provider": "one", "preset": "openai-compatible", "base_url": base_url, "rank": 2000,
        "surfaces": {"realtime": {"path": "/realtime"}},
        "models": {"m": {
            "context": 1000, "max_output": 100,
            "price": {
                "input": "1", "cached_input": "0.5", "output": "2",
                "audio_input": "3", "cached_audio_input": "1", "audio_output": "5",
            },
        }},
    });
    let dollars = Credits::from_nanos(nanos).to_string();
    gateway()
        .catalog("one", file)
        .credentials("one", 1)
        .prepaid("default", &dollars)
}

/// An account with so much credit.
pub async fn lab(nanos: i64, more: impl FnOnce(Builder) -> Builder) -> Lab {
    let fake = Fake::start().await;
    let builder = more(before(&fake.base_url(), nanos));
    let file = builder.store_file();
    let gateway = builder.start().await;
    let store = Store::open_file(&file).await.expect("the store");
    Lab {
        fake,
        gateway,
        store,
    }
}

impl Lab {
    /// Opens a conversation.
    pub async fn open(&self, more: &[(&str, &str)]) -> Client {
        let key = format!("Bearer {}", self.gateway.key());
        let mut fields = vec![("authorization", key.as_str())];
        fields.extend(more);
        let opened = ws::open(self.gateway.address(), TARGET, &fields).await;
        opened.expect("opened").0
    }

    /// All rows, in order, once there are so many and none is open.
    pub async fn rows(&self, count: usize) -> Vec<UsageRow> {
        let seen = async {
            loop {
                let page = self.store.usage_page(&Used::default(), RowId(0), 100).await;
                let rows = page.expect("rows");
                let is_open = |row: &UsageRow| row.state == RowState::Held;
                if rows.len() >= count && !rows.iter().any(is_open) {
                    return rows;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let rows = wait::within("rows that have ended", seen).await;
        assert_eq!(rows.len(), count, "{rows:?}");
        rows
    }

    /// The account has been charged so much, nothing is held, and the books agree.
    pub async fn is_charged(&self, granted: i64, spent: i64) {
        let checked = self.store.check().await.expect("a look at the books");
        assert_eq!(checked.faults, Vec::<String>::new());
        let account = self.store.account_named("default").await;
        let account = account.expect("an account");
        assert_eq!(account.held, Credits::ZERO);
        assert_eq!(account.balance, Credits::from_nanos(granted - spent));
    }
}

/// Asks for a response that says such events.
pub fn create(events: &str) -> String {
    format!(r#"{{"type":"response.create","response":{{"metadata":{{"say":"{events}"}}}}}}"#)
}

/// Sends sound, at which the server begins a response by itself that says such events.
pub fn speak(events: &str) -> String {
    format!(r#"{{"type":"input_audio_buffer.append","audio":"AAAA","say":"{events}"}}"#)
}

/// Sends a message.
pub async fn send(client: &mut Client, text: &str) {
    client.send(Message::text(text)).await.expect("sent");
}

/// What comes next.
pub async fn next(client: &mut Client) -> Message {
    let next = ws::next(client).await.expect("no end");
    next.expect("a message")
}

/// The client is told that it ends, and why.
pub async fn is_ended(client: &mut Client, code: &str) {
    let status = if code == "store_unavailable" {
        1013
    } else {
        1008
    };
    let event = next(client).await.into_text().expect("text");
    let event: Value = serde_json::from_str(&event).expect("JSON");
    assert_eq!(
        (&event["type"], &event["error"]["code"]),
        (&json!("error"), &json!(code))
    );
    is_closed(client, status, code).await;
}

/// The next frame closes it.
pub async fn is_closed(client: &mut Client, status: u16, code: &str) {
    let Message::Close(Some(close)) = next(client).await else {
        panic!("no close frame");
    };
    assert_eq!(
        (u16::from(close.code), close.reason.as_str()),
        (status, code)
    );
}

/// What the account was charged for a row, in nano-dollars.
pub fn charged(row: &UsageRow) -> i64 {
    row.cost.charged.nanos()
}
