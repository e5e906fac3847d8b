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

/// Anthropic's types of tools that the client runs bear the day of their version.
const CLIENT_FAMILIES: [&[u8]; 4] = [
    b"\"bash_2",
    b"\"text_editor_2",
    b"\"computer_2",
    b"\"memory_2",
];

/// Whether a tool is one that the client runs. Without a type it is (Anthropic's); of two types both count.
pub(super) fn client_runs(tool: &[u8]) -> bool {
    entries(tool).all(|(key, value)| {
        // A key with an escape, or in other letters, may mean the type to a provider.
        if memchr::memchr(b'\\', key).is_some() {
            return false;
        }
        if key.eq_ignore_ascii_case(b"tools") {
            // A namespace of tools.
            return elements(value).all(client_runs);
        }
        if !key.eq_ignore_ascii_case(b"type") {
            return true;
        }
        CLIENT_TYPES.contains(&value)
            || CLIENT_FAMILIES
                .iter()
                .any(|family| value.starts_with(family))
    })
}
