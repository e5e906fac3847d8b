//! What stands somewhere inside a request body, at any depth, and makes its bytes no bound of its tokens, or its tokens
//! dearer: found by the strings that say so, in one pass, without a tree.

use memchr::memchr_iter;

/// Bytes of the longest name that is looked for.
const NAME_MAX: usize = 20;

/// Bytes of a string from which on it is taken for a file that was written into the body, if it looks like base64.
const FILE_MIN: usize = 1024;

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Pictures, sound, files and what the provider keeps, as far as their `type` says so.
    pub parts: u32,
    /// A member refers to such a thing.
    pub refers: bool,
    /// Some of it is sound.
    pub audio: bool,
    /// Bytes of the files that are written into the body.
    pub file_bytes: u64,
    /// Something may be written to a cache because the request says so.
    pub cache: bool,
    /// And for an hour.
    pub hour: bool,
    /// Tools are added in the middle of a conversation.
    pub tools_added: bool,
    /// An item of a conversation may bring tools with it.
    pub tools_within: bool,
    /// An item of a conversation is one that the provider keeps.
    pub kept: bool,
}

/// Names of members that refer to something, wherever they stand.
const KEYS: [&[u8]; 9] = [
    b"image_url",
    b"video_url",
    b"audio_url",
    b"input_audio",
    b"file_id",
    b"file_url",
    b"file_data",
    b"cached_content",
    b"cachedContent",
];

/// What a `type` calls something that is no text.
const TYPES: [&[u8]; 15] = [
    b"image",
    b"image_url",
    b"input_image",
    b"audio",
    b"audio_url",
    b"input_audio",
    b"video",
    b"video_url",
    b"input_video",
    b"file",
    b"input_file",
    b"document",
    b"computer_screenshot",
    b"item_reference",
    b"container_upload",
];

/// Looks through a body, which must be JSON.
#[must_use]
pub fn marks(body: &[u8]) -> Marks {
    let mut marks = Marks::default();
    let mut last = 0;
    for quote in memchr_iter(b'"', body) {
        if quote.checked_sub(1).and_then(|at| body.get(at)) == Some(&b'\\') {
            // Inside a string, or at the end of one.
            continue;
        }
        if quote - last > FILE_MIN && is_file(&body[last + 1..quote]) {
            marks.file_bytes += (quote - last) as u64;
        }
        last = quote;
        marks.string(&body[..quote], &body[quote + 1..]);
    }
    marks
}

impl Marks {
    /// Whether there are tokens that have nothing to do with the bytes of the body.
    #[must_use]
    pub fn beyond_bytes(&self) -> bool {
        self.refers || self.parts > 0
    }

    /// How many things they belong to, as far as that can be seen.
    #[must_use]
    pub fn things(&self) -> u64 {
        u64::from(self.parts.max(u32::from(self.refers)))
    }

    /// Looks at the string that may begin between these.
    fn string(&mut self, before: &[u8], rest: &[u8]) {
        let Some(first) = rest.first() else { return };
        if !b"acdfitv1\\".contains(first) {
            return;
        }
        let rest = &rest[..rest.len().min(NAME_MAX + 1)];
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
            return;
        };
        if rest[end] == b'\\' {
            self.escaped(&rest[end..]);
            return;
        }
        let name = &rest[..end];
        match name {
            b"cache_control" => self.cache = true,
            b"1h" => self.hour = true,
            b"item_reference" if is_value(before) => {
                self.kept = true;
                self.part(name);
            }
            b"tool_addition" => self.tools_added = true,
            b"additional_tools" | b"tool_search_output" => self.tools_within = true,
            _ if TYPES.contains(&name) && is_value(before) => self.part(name),
            _ if KEYS.contains(&name) => {
                self.refers = true;
                self.audio |= is_audio(name);
            }
            _ => {}
        }
    }

    fn part(&mut self, name: &[u8]) {
        self.parts = self.parts.saturating_add(1);
        self.audio |= is_audio(name);
    }

    /// A letter that need not be written as an escape may hide any of the names.
    fn escaped(&mut self, rest: &[u8]) {
        let hides = matches!(
            rest,
            [b'\\', b'u', b'0', b'0', b'4'..=b'7', ..]
                | [b'\\', b'u', b'0', b'0', b'3', b'0'..=b'9', ..]
        );
        if hides {
            self.refers = true;
            self.audio = true;
            self.cache = true;
            self.hour = true;
            self.tools_added = true;
            self.tools_within = true;
        }
    }
}

fn is_audio(name: &[u8]) -> bool {
    matches!(name, b"audio" | b"audio_url" | b"input_audio")
}

/// Whether what follows is the value of a member.
fn is_value(before: &[u8]) -> bool {
    let mut before = before.iter().rev();
    before.find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

/// Whether a long string is base64, or a `data:` URL.
fn is_file(text: &[u8]) -> bool {
    let start = &text[..text.len().min(64)];
    let base64 = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
    };
    start.starts_with(b"data:") || start.iter().all(base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Marks {
        marks(body.as_bytes())
    }

    #[test]
    fn what_is_no_text_is_found_in_every_dialect() {
        for (body, parts) in [
            (
                r#"{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://a/b.png"}}]}]}"#,
                1,
            ),
            (
                r#"{"input":[{"content":[{"type" : "input_image","image_url":"data:"},{"type":"input_file","file_id":"f"}]}]}"#,
                2,
            ),
            (
                r#"{"messages":[{"content":[{"type":"image","source":{"type":"base64","data":"AA=="}}]}]}"#,
                1,
            ),
            (
                r#"{"messages":[{"content":[{"source":{"type":"url","url":"https://a"},"type":"document"}]}]}"#,
                1,
            ),
            (
                "{\"messages\":[{\"content\":[{\"type\":\n\t\"input_audio\",\"input_audio\":{}}]}]}",
                1,
            ),
            (r#"{"input":[{"type":"item_reference","id":"msg_1"}]}"#, 1),
            (
                r#"{"messages":[{"content":[{"image_url":{"url":"x"}}]}]}"#,
                0,
            ),
            (
                r#"{"extra_body":{"google":{"cached_content":"cachedContents/1"}}}"#,
                0,
            ),
        ] {
            let marks = of(body);
            assert!(
                marks.beyond_bytes() && marks.parts == parts,
                "{body}: {marks:?}"
            );
            assert!(
                marks.things() >= 1 && !marks.cache && !marks.tools_added,
                "{body}"
            );
        }
    }

    #[test]
    fn text_and_tools_are_text() {
        for body in [
            r#"{"messages":[{"role":"user","content":"an \"image\", \"type\":\"image\", \"file_id\""}]}"#,
            r#"{"messages":[{"role":"user","content":"ends in \\"},{"role":"user","content":"image"}],"a":1}"#,
            r#"{"tools":[{"type":"function","function":{"parameters":{"properties":{"file":{"type":"string"},"image":{}},"required":["file","document"]}}}]}"#,
            r#"{"messages":[{"content":"caf\u00e9 \u003c \u0026"},{"content":"images"},{"content":"filed"}]}"#,
            r#"{"type":"text","text":"a"}"#,
            "{}",
            "",
            "\"",
        ] {
            let marks = of(body);
            let content_is_image = body.contains(r#""content":"image""#);
            assert_eq!(marks.beyond_bytes(), content_is_image, "{body}: {marks:?}");
        }
    }

    #[test]
    fn caches_and_added_tools_are_found() {
        let cached =
            of(r#"{"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}"#);
        assert!(cached.cache && !cached.hour && !cached.beyond_bytes());
        let hour = of(r#"{"cache_control":{"type":"ephemeral","ttl":"1h"}}"#);
        assert!(hour.cache && hour.hour);
        assert!(of(r#"{"messages":[{"content":[{"type":"tool_addition"}]}]}"#).tools_added);
    }

    #[test]
    fn what_may_be_hidden_by_escapes_counts_as_found() {
        let hidden = Marks {
            refers: true,
            audio: true,
            cache: true,
            hour: true,
            tools_added: true,
            tools_within: true,
            ..Marks::default()
        };
        for name in [
            "image_url",
            "file_id",
            "cache_control",
            "input_image",
            "1h",
            "tool_addition",
        ] {
            for (place, letter) in name.char_indices() {
                let code = u32::from(letter);
                let written = format!("{}\\u{code:04x}{}", &name[..place], &name[place + 1..]);
                assert_eq!(of(&format!("{{\"{written}\":1}}")), hidden, "{written}");
            }
        }
    }

    #[test]
    fn files_in_the_body_are_measured() {
        let file = "iVBORw0KGgo+/=".repeat(200);
        let image = format!(r#"{{"type":"image","source":{{"type":"base64","data":"{file}"}}}}"#);
        assert_eq!(of(&image).file_bytes, file.len() as u64 + 1);
        let url = format!(r#"{{"type":"input_image","image_url":"data:image/png;base64,{file}"}}"#);
        assert_eq!(of(&url).file_bytes, file.len() as u64 + 23);
        for text in [
            "word ".repeat(500),
            "[1, 2, 3, 4]".repeat(300),
            "\u{4e2d}".repeat(900),
        ] {
            assert_eq!(of(&format!("{{\"content\":\"{text}\"}}")).file_bytes, 0);
        }
    }
}
