//! Who runs a command, as the audit calls it.

use std::os::unix::fs::MetadataExt as _;

/// `cli:` and the name of the Unix user, or its number where the machine's own list has no name for it.
#[must_use]
pub fn actor() -> String {
    let uid = std::fs::metadata("/proc/self").map(|process| process.uid());
    let Ok(uid) = uid else {
        return "cli:unknown".to_owned();
    };
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match name_of(&users, uid) {
        Some(name) => format!("cli:{name}"),
        None => format!("cli:{uid}"),
    }
}

/// A user for people.
#[must_use]
pub fn named(uid: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    match name_of(&users, uid) {
        Some(name) => format!("user {name} ({uid})"),
        None => format!("user {uid}"),
    }
}

/// The name of `uid` in `users`, which is written as passwd(5) says.
fn name_of(users: &str, uid: u32) -> Option<&str> {
    let lines = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let is_it = |fields: &Vec<&str>| fields.get(2).and_then(|it| it.parse().ok()) == Some(uid);
    let is_name = |name: &&str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.bytes().all(letter)
    };
    let mut found = lines.into_iter().filter(is_it);
    found.next()?.first().copied().filter(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_number() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\n# a comment\nalice:x:1000:1000::/:\nb d:x:7:7::/:\n";
        assert_eq!(name_of(users, 0), Some("root"));
        assert_eq!(name_of(users, 1000), Some("alice"));
        assert_eq!(name_of(users, 7), None);
        assert_eq!(name_of(users, 8), None);
        assert!(actor().starts_with("cli:"));
    }
}
