//! Request bodies of an exact size with `model` first, in the middle or last; the same arguments give the same bytes.
//! What the gateway may change in them is in `edits`.

use std::fmt::Write as _;

use bytes::Bytes;

/// Where the top-level member `model` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before every other member.
    First,
    /// With about half of the bytes before it.
    Middle,
    /// After every other member.
    Last,
}

/// Every position.
pub const POSITIONS: [Position; 3] = [Position::First, Position::Middle, Position::Last];

/// Text that must not be taken for the model: the key inside a string, inside an object, and as a value.
const DECOYS: &str =
    r#"{"role":"system","content":"say \"model\":\"decoy\" {\\","model":"decoy","x":["model"]}"#;

/// A chat request under construction.
#[derive(Clone, Debug)]
pub struct Body {
    model: Option<String>,
    position: Position,
    size: usize,
    members: Vec<String>,
}

/// A chat request for `model`, `model` first, as small as it gets.
pub fn chat(model: &str) -> Body {
    Body {
        model: Some(quoted(model)),
        position: Position::First,
        size: 0,
        members: Vec::new(),
    }
}

/// A chat request for `model` of exactly `size` bytes.
///
/// # Panics
/// When `size` is below what the members need (about 200 bytes).
pub fn sized(model: &str, position: Position, size: usize) -> Bytes {
    chat(model).position(position).size(size).build()
}

impl Body {
    /// Leaves `model` out.
    pub fn no_model(mut self) -> Self {
        self.model = None;
        self
    }

    /// Where `model` stands.
    pub fn position(mut self, position: Position) -> Self {
        self.position = position;
        self
    }

    /// The exact size in bytes; 0, the default, means no filling.
    pub fn size(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }

    /// Adds a top-level member, written as raw JSON: `member("stream", "true")`.
    pub fn member(mut self, name: &str, value: &str) -> Self {
        self.members.push(format!("\"{name}\":{value}"));
        self
    }

    /// The bytes.
    ///
    /// # Panics
    /// When the size is set and below what the members need.
    pub fn build(&self) -> Bytes {
        let bare = self.written(0).len();
        if self.size == 0 {
            return Bytes::from(self.written(0));
        }
        assert!(
            bare <= self.size,
            "a body with these members has at least {bare} bytes"
        );
        let body = self.written(self.size - bare);
        assert_eq!(body.len(), self.size);
        Bytes::from(body)
    }

    /// The document with `filler` bytes of text spread over the members around `model`.
    fn written(&self, filler: usize) -> String {
        let before = match self.position {
            Position::First => 0,
            Position::Middle => filler / 2,
            Position::Last => filler,
        };
        let messages = |bytes, seed| {
            format!(
                "\"messages\":[{DECOYS},{{\"role\":\"user\",\"content\":\"{}\"}}]",
                text(bytes, seed)
            )
        };
        let note = |bytes, seed| format!("\"metadata\":{{\"note\":\"{}\"}}", text(bytes, seed));
        let model = self.model.as_ref().map(|name| format!("\"model\":{name}"));
        let mut members = match self.position {
            Position::First => vec![messages(filler, 1)],
            Position::Middle => vec![messages(before, 1), note(filler - before, 2)],
            Position::Last => vec![messages(before, 1)],
        };
        members.extend(self.members.iter().cloned());
        let place = match self.position {
            Position::First => 0,
            Position::Middle => 1,
            Position::Last => members.len(),
        };
        if let Some(model) = model {
            members.insert(place, model);
        }
        format!("{{{}}}", members.join(","))
    }
}

/// `name` as a JSON string.
fn quoted(name: &str) -> String {
    serde_json::Value::from(name).to_string()
}

/// `bytes` bytes of text that need no escaping in JSON. Each block bears its number, so that a lost or doubled one shows.
fn text(bytes: usize, seed: usize) -> String {
    const BLOCK: usize = 4096;
    const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 {";
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let random = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(ALPHABET[(state & 63) as usize])
    };
    let block: String = (0..BLOCK - 8).map(random).collect();
    let mut out = String::with_capacity(bytes + BLOCK);
    while out.len() < bytes {
        let _ = write!(out, "{:08x}{block}", (seed << 24) | (out.len() / BLOCK));
    }
    out.truncate(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_size_asked_for_and_the_model_where_asked() {
        for position in POSITIONS {
            for size in [300, 4096, 65_537] {
                let body = sized("gpt-4o", position, size);
                assert_eq!(body.len(), size);
                let tree: serde_json::Value = serde_json::from_slice(&body).expect("valid JSON");
                assert_eq!(tree["model"], "gpt-4o");
                assert_eq!(body, sized("gpt-4o", position, size));
            }
            let body = chat("m")
                .position(position)
                .member("stream", "true")
                .size(10_000)
                .build();
            let text = std::str::from_utf8(&body).expect("ASCII");
            let at = text.find("\"model\":\"m\"").expect("the member");
            match position {
                Position::First => assert_eq!(at, 1),
                Position::Middle => assert!((4000..6000).contains(&at), "{at}"),
                Position::Last => assert!(text.ends_with("\"model\":\"m\"}")),
            }
        }
    }
}
