//! Which places of a file are laid over others on their own: what `overlay` does, told by paths for what reads lines. The
//! tests of `origins` hold the two to one another.

use super::place::{EntryId, Index};

/// Each `null` that says nothing, because it stands for a member that cannot be taken away.
pub(super) fn idle_nulls(index: &Index<'_>) -> Vec<EntryId> {
    let idle = |entry: &EntryId| {
        index.value(*entry) == "null"
            && own_path(index, *entry).is_some_and(|path| !is_entry(&path))
    };
    index.all().map(|(entry, _)| entry).filter(idle).collect()
}

/// The path of a member that is laid over others on its own; `None` for what is inside a list or a value that is
/// replaced whole.
pub(super) fn own_path(index: &Index<'_>, entry: EntryId) -> Option<Vec<String>> {
    let mut around = Some(entry);
    while let Some(id) = around {
        if index.is_element(id) {
            return None;
        }
        around = index.parent(id);
    }
    let path: Vec<String> = index.path(entry).into_iter().map(Into::into).collect();
    let inside = (1..path.len()).any(|length| is_whole(&path[..length]));
    (!inside).then_some(path)
}

/// Whether the value there is replaced whole although it may be an object.
pub(super) fn is_whole(path: &[String]) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    matches!(
        path[..],
        ["facts" | "other_surfaces" | "sources", _]
            | ["surfaces", _, "facts", _]
            | ["models", _, "conflict", _]
    )
}

/// Whether a `null` there takes away what earlier files say.
pub(super) fn is_entry(path: &[String]) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    matches!(
        path[..],
        [
            "facts"
                | "other_surfaces"
                | "headers"
                | "surfaces"
                | "models"
                | "families"
                | "virtual_models",
            _
        ] | ["surfaces", _, "facts" | "headers", _]
            | ["models", _, "price" | "modes", _]
            | ["models", _, "modes", _, "price", _]
    )
}
