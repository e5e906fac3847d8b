//! What a body looks like after the published edits: a slow and obvious twin of the gateway's own splicing, which shares
//! no code with it and builds no tree. For bodies that are well-formed.

use std::ops::Range;

/// An edit that the gateway publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// E1: the value of `model` becomes this name. Where there is no `model`, the member `models` becomes one.
    Model(&'a str),
    /// E2: the member `models` is taken out with the comma before it and the white space between; if it is the first
    /// member, with the comma behind it.
    WithoutModels,
}

/// A top-level member: where its key begins, and where its value is.
struct Member {
    key: Range<usize>,
    value: Range<usize>,
}

/// `body` after `edits`.
///
/// # Panics
/// When a member to be edited is missing.
pub fn expected(body: &[u8], edits: &[Edit<'_>]) -> Vec<u8> {
    let mut out = body.to_vec();
    for edit in edits {
        out = match edit {
            Edit::Model(name) => with_model(&out, name),
            Edit::WithoutModels => without_models(&out),
        };
    }
    out
}

fn with_model(body: &[u8], name: &str) -> Vec<u8> {
    let mut text = String::from("\"");
    for letter in name.chars() {
        if letter == '"' || letter == '\\' {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
    if let Some(model) = find(body, "model") {
        return replaced(body, model.value, &text);
    }
    let models = find(body, "models").expect("`model` or `models`");
    let member = models.key.start..models.value.end;
    replaced(body, member, &format!("\"model\":{text}"))
}

fn without_models(body: &[u8]) -> Vec<u8> {
    let models = find(body, "models").expect("`models`");
    let (mut start, mut end) = (models.key.start, models.value.end);
    let before = start - 1 - spaces(body[..start].iter().rev());
    let behind = end + spaces(body[end..].iter());
    if body[before] == b',' {
        start = before;
    } else if body[behind] == b',' {
        end = behind + 1;
    }
    replaced(body, start..end, "")
}

fn replaced(body: &[u8], range: Range<usize>, text: &str) -> Vec<u8> {
    [&body[..range.start], text.as_bytes(), &body[range.end..]].concat()
}

fn spaces<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The top-level member `name`.
fn find(body: &[u8], name: &str) -> Option<Member> {
    let quoted = format!("\"{name}\"");
    let mut members = members(body).into_iter();
    members.find(|member| body[member.key.clone()] == *quoted.as_bytes())
}

/// The top-level members, in order, by walking over every byte.
fn members(body: &[u8]) -> Vec<Member> {
    let mut members = Vec::new();
    let mut at = skip_space(body, 0);
    assert_eq!(body.get(at), Some(&b'{'), "an object");
    at = skip_space(body, at + 1);
    while body[at] != b'}' {
        let key = at..skip_value(body, at);
        let colon = skip_space(body, key.end);
        assert_eq!(body[colon], b':', "a colon at {colon}");
        let start = skip_space(body, colon + 1);
        let value = start..skip_value(body, start);
        at = skip_space(body, value.end);
        members.push(Member { key, value });
        if body[at] == b',' {
            at = skip_space(body, at + 1);
        }
    }
    members
}

fn skip_space(body: &[u8], mut at: usize) -> usize {
    while body[at].is_ascii_whitespace() {
        at += 1;
    }
    at
}

/// The end of the value that begins at `at`.
fn skip_value(body: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    let mut in_string = false;
    loop {
        while in_string && !matches!(body[at], b'"' | b'\\') {
            at += 1;
        }
        match body[at] {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string && depth > 0 => depth -= 1,
            _ => {}
        }
        at += 1;
        let ends = body[at..].first().is_none_or(|next| {
            matches!(next, b',' | b':' | b'}' | b']') || next.is_ascii_whitespace()
        });
        if depth == 0 && !in_string && ends {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, edits: &[Edit<'_>], after: &str) {
        let got = expected(body.as_bytes(), edits);
        assert_eq!(String::from_utf8_lossy(&got), after, "{body}");
    }

    #[test]
    fn the_value_of_the_top_level_model_is_replaced() {
        let to = [Edit::Model("b")];
        check(r#"{"model":"a"}"#, &to, r#"{"model":"b"}"#);
        check(
            r#" { "x" : [1,{"model":"n"}] , "model" : "a" } "#,
            &to,
            r#" { "x" : [1,{"model":"n"}] , "model" : "b" } "#,
        );
        check(
            r#"{"x":"\"model\":\"n\\","model":"a","y":-1e3}"#,
            &to,
            r#"{"x":"\"model\":\"n\\","model":"b","y":-1e3}"#,
        );
        check(
            r#"{"model":"a"}"#,
            &[Edit::Model("q\"\\")],
            r#"{"model":"q\"\\"}"#,
        );
    }

    #[test]
    fn models_alone_becomes_model() {
        check(
            r#"{"x":1, "models" : ["a"]}"#,
            &[Edit::Model("b")],
            r#"{"x":1, "model":"b"}"#,
        );
    }

    #[test]
    fn models_goes_with_one_comma() {
        let out = [Edit::WithoutModels];
        check(
            r#"{"models":["a","b"],"model":"a"}"#,
            &out,
            r#"{"model":"a"}"#,
        );
        check(r#"{"model":"a","models":["a"]}"#, &out, r#"{"model":"a"}"#);
        check(
            r#"{"x":1,"models":[["]"]],"model":"a"}"#,
            &out,
            r#"{"x":1,"model":"a"}"#,
        );
        check(r#"{"models":[]}"#, &out, "{}");
        check(
            r#"{ "x":1 , "models":[] , "y":2}"#,
            &out,
            r#"{ "x":1  , "y":2}"#,
        );
        check(r#"{ "models" : [] , "y":2}"#, &out, r#"{  "y":2}"#);
        let both = [Edit::WithoutModels, Edit::Model("b")];
        check(
            r#"{"models":["b"],"model":"a","y":{}}"#,
            &both,
            r#"{"model":"b","y":{}}"#,
        );
    }

    #[test]
    fn bodies_of_the_toolkit_are_walked_to_their_end() {
        for position in crate::support::bodies::POSITIONS {
            let body = crate::support::bodies::sized("m", position, 5000);
            let longer = expected(&body, &[Edit::Model("mm")]);
            assert_eq!(longer.len(), 5001);
            assert_eq!(expected(&longer, &[Edit::Model("m")]), body);
        }
    }
}
