//! Server-sent events as the vendors frame them. One event is one piece of the body: written and flushed by itself.

use bytes::Bytes;
use serde_json::Value;

/// What ends a stream of chat or completion chunks.
pub const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// An event without a name, as chat and completions send them.
pub fn data(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

/// An event named after its own member `type`, as responses and messages send them.
pub fn named(value: &Value) -> Bytes {
    let name = value["type"].as_str().unwrap_or("message");
    format!("event: {name}\ndata: {value}\n\n").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_one_line_of_json_whatever_the_text_holds() {
        let value = json!({"type": "ping", "text": "a\n\nb\r\u{2028}"});
        let event = String::from_utf8(named(&value).to_vec()).unwrap();
        assert!(event.starts_with("event: ping\ndata: {"));
        assert_eq!(event.matches('\n').count(), 3);
        assert_eq!(event.matches('\r').count(), 0);
        assert_eq!(data(&json!({})), "data: {}\n\n");
    }
}
