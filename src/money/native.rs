//! What a request in Gemini's own shapes asks for that bears on its price. Its members are few and have two spellings
//! each, and any of them may stand for something that the provider keeps or runs: so what is not known here is not served
//! on the gateway's credential.

use smallvec::SmallVec;

use super::betas::Betas;
use super::marks::Marks;
use super::refused::{CHOICES_MAX, Refused, Why};
use super::shape::{Asked, AskedTier};
use crate::model::scan::{elements, entries};
use crate::surface::{Surface, Uses};
use crate::usage::estimate;

/// A key in the spelling with capitals: `max_output_tokens` is `maxOutputTokens`.
type Key = SmallVec<[u8; 32]>;

/// The members of an object, each once.
type Entries<'a> = SmallVec<[(Key, &'a [u8]); 8]>;

/// Members of a request that cost nothing of themselves.
const LIGHT: [&[u8]; 5] = [
    b"model",
    b"toolConfig",
    b"safetySettings",
    b"labels",
    b"role",
];

/// The same of `generationConfig`.
const LIGHT_CONFIG: [&[u8]; 16] = [
    b"temperature",
    b"topP",
    b"topK",
    b"seed",
    b"stopSequences",
    b"responseMimeType",
    b"responseSchema",
    b"responseJsonSchema",
    b"_responseJsonSchema",
    b"presencePenalty",
    b"frequencyPenalty",
    b"responseLogprobs",
    b"logprobs",
    b"thinkingConfig",
    b"mediaResolution",
    b"enableEnhancedCivicAnswers",
];

/// The same of a request for a vector.
const LIGHT_EMBED: [&[u8]; 4] = [b"model", b"taskType", b"title", b"outputDimensionality"];

/// The same of a part of a content: text, and what goes along with it.
const LIGHT_PART: [&[u8]; 4] = [b"text", b"thought", b"thoughtSignature", b"functionCall"];

/// The same of what a function has said.
const LIGHT_RESPONSE: [&[u8]; 5] = [b"id", b"name", b"response", b"willContinue", b"scheduling"];

/// What files that are written into the body may be: of these the answer counts every token.
const FILES: [&[u8]; 4] = [b"image/", b"audio/", b"text/", b"application/pdf"];

/// Members of an object at the most: more than there are names that are known here.
const MEMBERS_MAX: usize = 32;

/// What `body` asks for; it must be whole.
///
/// # Errors
/// What is in it that is not served on the gateway's credential.
pub(super) fn read(surface: Surface, body: &[u8]) -> Result<Asked, Refused> {
    let mut read = Read {
        surface,
        tokens: None,
        choices: 1,
        tools: false,
        marks: Marks::default(),
    };
    let start = body.iter().position(|byte| *byte == b'{').unwrap_or(0);
    if surface.uses() == Uses::Input {
        read.embeds(&body[start..], true)?;
    } else {
        read.request(&body[start..])?;
    }
    let marks = read.marks;
    Ok(Asked {
        surface,
        bytes: body.len() as u64,
        max_tokens: None,
        max_completion_tokens: None,
        max_output_tokens: read.tokens,
        choices: read.choices,
        prompts: 1,
        tier: AskedTier::Usual,
        us: false,
        beyond_text: false,
        predicted: false,
        tools: read.tools,
        half_day: false,
        marks,
        betas: Betas::default(),
        estimate: estimate::input(body, marks.things(), marks.file_bytes),
    })
}

struct Read {
    surface: Surface,
    tokens: Option<u64>,
    choices: u64,
    tools: bool,
    marks: Marks,
}

impl Read {
    fn request(&mut self, request: &[u8]) -> Result<(), Refused> {
        for (key, value) in members(request, "a member of the request")? {
            match &key[..] {
                b"contents" => each(value).try_for_each(|content| self.content(content))?,
                b"systemInstruction" => self.content(value)?,
                b"generationConfig" => self.config(value)?,
                b"tools" => each(value).try_for_each(|tool| self.tool(tool))?,
                b"cachedContent" if value == b"null" => {}
                b"cachedContent" => return Err(refused("cachedContent", Why::Kept)),
                key if LIGHT.contains(&key) => {}
                _ => return Err(refused("a member of the request", Why::Unknown)),
            }
        }
        Ok(())
    }

    /// `outermost`: it may be a list of requests, of which none is one again.
    fn embeds(&mut self, request: &[u8], outermost: bool) -> Result<(), Refused> {
        for (key, value) in members(request, "a member of the request")? {
            match &key[..] {
                b"content" => self.content(value)?,
                b"requests" if outermost && self.surface == Surface::BatchEmbedContents => {
                    each(value).try_for_each(|one| self.embeds(one, false))?;
                }
                key if LIGHT_EMBED.contains(&key) => {}
                _ => return Err(refused("a member of the request", Why::Unknown)),
            }
        }
        Ok(())
    }

    fn config(&mut self, config: &[u8]) -> Result<(), Refused> {
        for (key, value) in members(config, "generationConfig")? {
            match &key[..] {
                _ if value == b"null" => {}
                b"maxOutputTokens" => self.tokens = number(value).filter(|tokens| *tokens > 0),
                b"candidateCount" => {
                    let count = number(value).filter(|count| (1..=CHOICES_MAX).contains(count));
                    self.choices = count.ok_or(refused("candidateCount", Why::NotANumber))?;
                }
                b"responseModalities" if each(value).all(|one| one == b"\"TEXT\"") => {}
                b"responseModalities" => return Err(refused("responseModalities", Why::Unbounded)),
                key if LIGHT_CONFIG.contains(&key) => {}
                _ => return Err(refused("a member of `generationConfig`", Why::Unknown)),
            }
        }
        Ok(())
    }

    /// A tool is one of the client's functions, or one that the provider runs.
    fn tool(&mut self, tool: &[u8]) -> Result<(), Refused> {
        for (key, value) in members(tool, "tools")? {
            match &key[..] {
                b"functionDeclarations" => self.tools |= value != b"[]" && value != b"null",
                _ => return Err(refused("tools", Why::HostedTools)),
            }
        }
        Ok(())
    }

    fn content(&mut self, content: &[u8]) -> Result<(), Refused> {
        for (key, value) in members(content, "contents")? {
            match &key[..] {
                b"role" => {}
                b"parts" => each(value).try_for_each(|part| self.part(part))?,
                _ => return Err(refused("a member of `contents`", Why::Unknown)),
            }
        }
        Ok(())
    }

    fn part(&mut self, part: &[u8]) -> Result<(), Refused> {
        for (key, value) in members(part, "parts")? {
            match &key[..] {
                b"inlineData" if self.surface.uses() == Uses::Input => {
                    return Err(refused("inlineData", Why::Unbounded));
                }
                b"inlineData" => self.file(value)?,
                b"fileData" => return Err(refused("fileData", Why::Kept)),
                b"functionResponse" => {
                    let of = members(value, "functionResponse")?;
                    if !of.iter().all(|(key, _)| LIGHT_RESPONSE.contains(&&key[..])) {
                        return Err(refused("a member of `functionResponse`", Why::Unknown));
                    }
                }
                key if LIGHT_PART.contains(&key) => {}
                _ => return Err(refused("a part of `contents`", Why::Unknown)),
            }
        }
        Ok(())
    }

    fn file(&mut self, file: &[u8]) -> Result<(), Refused> {
        let mut is_known = false;
        for (key, value) in members(file, "inlineData")? {
            match &key[..] {
                b"mimeType" => {
                    let kind = value.strip_prefix(b"\"").unwrap_or_default();
                    is_known = FILES.iter().any(|file| kind.starts_with(file));
                    self.marks.audio |= kind.starts_with(b"audio/");
                }
                b"data" => self.marks.file_bytes += value.len() as u64,
                b"displayName" => {}
                _ => return Err(refused("a member of `inlineData`", Why::Unknown)),
            }
        }
        if !is_known {
            return Err(refused("inlineData", Why::Unbounded));
        }
        self.marks.parts = self.marks.parts.saturating_add(1);
        Ok(())
    }
}

const fn refused(member: &'static str, why: Why) -> Refused {
    Refused { member, why }
}

/// The members of an object, each once.
fn members<'a>(object: &'a [u8], name: &'static str) -> Result<Entries<'a>, Refused> {
    let mut found = Entries::new();
    for (key, value) in entries(object) {
        let key = capitals(key);
        if found.len() == MEMBERS_MAX {
            return Err(refused(name, Why::Unknown));
        }
        // An escape may hide any name.
        if key.contains(&b'\\') || found.iter().any(|(other, _)| *other == key) {
            return Err(refused(name, Why::Twofold));
        }
        found.push((key, value));
    }
    Ok(found)
}

/// The spelling with capitals.
fn capitals(key: &[u8]) -> Key {
    let mut spelt = Key::new();
    let mut rest = key.iter().peekable();
    while let Some(byte) = rest.next() {
        match rest.peek() {
            Some(next) if *byte == b'_' && next.is_ascii_lowercase() && !spelt.is_empty() => {
                spelt.push(next.to_ascii_uppercase());
                rest.next();
            }
            _ => spelt.push(*byte),
        }
    }
    spelt
}

/// The elements of a list. Google takes one element for a list of it.
fn each(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let one = (!value.starts_with(b"[") && value != b"null").then_some(value);
    one.into_iter().chain(elements(value))
}

/// A whole number, which may be written as a string.
fn number(value: &[u8]) -> Option<u64> {
    let digits = value
        .strip_prefix(b"\"")
        .and_then(|text| text.strip_suffix(b"\""))
        .unwrap_or(value);
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generate(body: &str) -> Result<Asked, Refused> {
        read(Surface::GenerateContent, body.as_bytes())
    }

    #[test]
    fn a_plain_request_is_bounded_by_its_bytes_and_its_caps() {
        for body in [
            r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":7,"candidateCount":2}}"#,
            r#" {"contents":{"parts":{"text":"hi"}},"generation_config":{"max_output_tokens":"7","candidate_count":2}}"#,
        ] {
            let asked = generate(body).expect(body);
            assert_eq!(
                (asked.max_output_tokens, asked.choices, asked.tools),
                (Some(7), 2, false)
            );
            assert_eq!(asked.bytes, body.len() as u64);
            assert!(!asked.marks.beyond_bytes());
        }
        let bare = generate(r#"{"contents":[],"generationConfig":{"maxOutputTokens":0}}"#);
        assert_eq!(bare.expect("no bound").max_output_tokens, None);
    }

    #[test]
    fn functions_are_the_clients_and_files_are_beyond_their_bytes() {
        let asked = generate(
            r#"{"tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{},"contents":[
                {"role":"model","parts":[{"functionCall":{"name":"f","args":{"fileData":1}}}]},
                {"role":"user","parts":[{"functionResponse":{"name":"f","response":{"parts":1}}},
                    {"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}]}"#,
        );
        let asked = asked.expect("served");
        assert!(asked.tools && asked.marks.beyond_bytes() && !asked.marks.audio);
        let spoken =
            r#"{"contents":[{"parts":[{"inline_data":{"mime_type":"audio/mp3","data":""}}]}]}"#;
        assert!(generate(spoken).expect("served").marks.audio);
    }

    #[test]
    fn what_is_not_known_is_not_served() {
        for (body, member) in [
            (r#"{"cachedContent":"cachedContents/x"}"#, "cachedContent"),
            (r#"{"cached_content":"cachedContents/x"}"#, "cachedContent"),
            (r#"{"tools":[{"googleSearch":{}}]}"#, "tools"),
            (r#"{"tools":{"code_execution":{}}}"#, "tools"),
            (
                r#"{"tools":[{"functionDeclarations":[]},{"urlContext":{}}]}"#,
                "tools",
            ),
            (
                r#"{"generationConfig":{"responseModalities":["TEXT","IMAGE"]}}"#,
                "responseModalities",
            ),
            (
                r#"{"generationConfig":{"response_modalities":"AUDIO"}}"#,
                "responseModalities",
            ),
            (
                r#"{"generationConfig":{"speechConfig":{}}}"#,
                "a member of `generationConfig`",
            ),
            (
                r#"{"generationConfig":{},"generation_config":{}}"#,
                "a member of the request",
            ),
            (
                r#"{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":9}}"#,
                "generationConfig",
            ),
            (
                r#"{"generationConfig":{"maxOutput\u0054okens":1}}"#,
                "generationConfig",
            ),
            (
                r#"{"generationConfig":{"candidateCount":0}}"#,
                "candidateCount",
            ),
            (
                r#"{"contents":[{"parts":[{"fileData":{"fileUri":"x"}}]}]}"#,
                "fileData",
            ),
            (
                r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"video/mp4","data":""}}]}]}"#,
                "inlineData",
            ),
            (
                r#"{"contents":[{"parts":[{"inlineData":{"data":""}}]}]}"#,
                "inlineData",
            ),
            (
                r#"{"contents":[{"parts":[{"functionResponse":{"parts":[]}}]}]}"#,
                "a member of `functionResponse`",
            ),
            (
                r#"{"systemInstruction":{"parts":[{"executableCode":{}}]}}"#,
                "a part of `contents`",
            ),
            (r#"{"serviceTier":"priority"}"#, "a member of the request"),
        ] {
            assert_eq!(generate(body).expect_err(body).member, member, "{body}");
        }
    }

    #[test]
    fn no_object_has_more_members_than_there_are_names() {
        let many: Vec<String> = (0..200_000).map(|at| format!("\"k{at}\":1")).collect();
        let body = format!(r#"{{"generationConfig":{{{}}}}}"#, many.join(","));
        let refused = generate(&body).expect_err("too many");
        assert_eq!(
            (refused.member, refused.why),
            ("generationConfig", Why::Unknown)
        );
    }

    #[test]
    fn vectors_are_of_text() {
        let batch = r#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},"taskType":"X"}]}"#;
        assert!(read(Surface::BatchEmbedContents, batch.as_bytes()).is_ok());
        assert!(read(Surface::EmbedContent, batch.as_bytes()).is_err());
        let one = r#"{"content":{"parts":[{"text":"a"}]},"outputDimensionality":3}"#;
        assert!(read(Surface::EmbedContent, one.as_bytes()).is_ok());
        let nested = r#"{"requests":[{"requests":[{"content":{"parts":[{"text":"a"}]}}]}]}"#;
        assert!(read(Surface::BatchEmbedContents, nested.as_bytes()).is_err());
        let image = r#"{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":""}}]}}"#;
        assert!(read(Surface::EmbedContent, image.as_bytes()).is_err());
    }
}
