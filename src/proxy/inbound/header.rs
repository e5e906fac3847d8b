//! Where the header of a request ends, and the length of the body that it announces: as much as it takes to tell one from the
//! other. What the header means is Pingora's to say.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::proxy::body::number;

/// The end of a header (RFC 9112, section 2.1).
static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// What every client writes in lower case of the field's name.
const NAMED: &[u8] = b"ontent-";

static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NAMED));

/// The bytes of the header that `read` begins with, where all of it is there.
pub(super) fn end(read: &[u8]) -> Option<usize> {
    Some(END.find(read)? + 4)
}

/// The number in the one field `Content-Length` of `header`; none where there is no such field, or more than one, or another
/// spelling.
pub(super) fn content_length(header: &[u8]) -> Option<usize> {
    const LENGTH: &[u8] = b"length:";
    let mut lengths = NAME.find_iter(header).filter_map(|at| {
        let begins = matches!(header[..at], [.., b'\n', b'C' | b'c']);
        let value = at + NAMED.len()..at + NAMED.len() + LENGTH.len();
        let names = begins && header.get(value.clone())?.eq_ignore_ascii_case(LENGTH);
        names.then_some(value.end)
    });
    let at = lengths.next()?;
    if lengths.next().is_some() {
        return None;
    }
    let value = header[at..].split(|byte| *byte == b'\r').next()?;
    usize::try_from(number(value.trim_ascii())?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_with_an_empty_line() {
        assert_eq!(end(b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody\r\n\r\n"), Some(24));
        assert_eq!(end(b"GET / HTTP/1.1\r\nA: b\r\n\r"), None);
        assert_eq!(end(b"GET / HTTP/1.1\nA: b\n\n"), None);
    }

    #[test]
    fn the_length_is_that_of_the_one_field_which_says_it() {
        let length =
            |fields: &str| content_length(format!("POST / HTTP/1.1\r\n{fields}\r\n").as_bytes());
        assert_eq!(length("Content-Length: 12\r\n"), Some(12));
        assert_eq!(
            length("Content-Type: a\r\ncontent-length:7\r\nA: b\r\n"),
            Some(7)
        );
        for none in [
            "",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "X-Content-Length: 1\r\n",
            "Xontent-Length: 1\r\n",
            "A: content-length: 3\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: \r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "CONTENT-LENGTH: 1\r\n",
        ] {
            assert_eq!(length(none), None, "{none}");
        }
    }
}
