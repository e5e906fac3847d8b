//! Which tools the client runs, and which the provider.

use crate::model::scan::{elements, entries};

/// Types of tools that the client runs, beside those that begin with [`CLIENT_FAMILIES`].
const CLIENT_TYPES: [&[u8]; 8] = [
    b"\"function\"",
    b"\"custom\"",
    b"\"local_shell\"",
    b"\"apply_patch\"",
    b"\"computer\"",
    b"\"computer_use_preview\"",
    b"\"namespace\"",
    b"null",
];

/// OpenAI's search among tools whose descriptions are not sent at first.
const SEARCH: &[u8] = b"\"tool_search\"";

/// Anthropic's types of tools that the client runs bear the day of their version.
const CLIENT_FAMILIES: [&[u8]; 4] = [
    b"\"bash_2",
    b"\"text_editor_2",
    b"\"computer_2",
    b"\"memory_2",
];

/// Whether a tool is one that the client runs. Without a type it is (Anthropic's); of two types both count. A search of
/// tools (OpenAI's) is run by whom `execution` says, and where it says nothing by the provider.
pub(super) fn client_runs(tool: &[u8]) -> bool {
    client_runs_in(tool, true)
}

/// `outermost`: it may be a namespace of tools, of which none is one again.
fn client_runs_in(tool: &[u8], outermost: bool) -> bool {
    let (mut searches, mut by_client, mut by_others) = (false, false, false);
    let others = entries(tool).all(|(key, value)| {
        // A key with an escape, or in other letters, may mean the type to a provider.
        if memchr::memchr(b'\\', key).is_some() {
            return false;
        }
        if key.eq_ignore_ascii_case(b"tools") {
            // A namespace of tools.
            return outermost && elements(value).all(|tool| client_runs_in(tool, false));
        }
        if key.eq_ignore_ascii_case(b"execution") {
            let client = value == b"\"client\"";
            by_client |= client;
            by_others |= !client;
        }
        if !key.eq_ignore_ascii_case(b"type") {
            return true;
        }
        let search = value == SEARCH;
        searches |= search;
        search
            || CLIENT_TYPES.contains(&value)
            || CLIENT_FAMILIES
                .iter()
                .any(|family| value.starts_with(family))
    });
    others && (!searches || by_client && !by_others)
}

/// Whether the client runs all tools that come with the items of a conversation: `additional_tools` and
/// `tool_search_output` of OpenAI's Responses API have `tools` of their own.
pub(super) fn client_runs_within(body: &[u8]) -> bool {
    let is = |key: &[u8], name: &[u8]| {
        key.eq_ignore_ascii_case(name) || memchr::memchr(b'\\', key).is_some()
    };
    let item_is_fine = |item| {
        let mut tools = entries(item).filter(|(key, _)| is(key, b"tools"));
        tools.all(|(_, tools)| elements(tools).all(client_runs))
    };
    // White space and a byte-order mark may come first.
    let start = body.iter().position(|byte| *byte == b'{').unwrap_or(0);
    let mut inputs = entries(&body[start..]).filter(|(key, _)| is(key, b"input"));
    inputs.all(|(_, items)| elements(items).all(item_is_fine))
}
