//! What a client sends, where the gateway pays: its frames, and what their messages ask for.

use super::asks::{Asks, Message, Words};
use super::charged::Stop;
use super::frames::{Frames, Part};
use crate::proxy::reject::Code;

/// Reads one client.
#[derive(Debug)]
pub struct Client {
    frames: Frames,
    asks: Asks,
}

impl Client {
    /// Of a conversation with this model, as its provider calls it.
    #[must_use]
    pub fn new(model: &str) -> Self {
        Self {
            frames: Frames::default(),
            asks: Asks::new(model),
        }
    }

    /// Takes some of these bytes, of which there must be one, and no more than to the end of a frame. How many, and if a
    /// message is complete with them, that; or why the conversation cannot go on, and these bytes do not.
    pub fn step(&mut self, bytes: &[u8]) -> (usize, Result<Option<Message>, Stop>) {
        let Self { frames, asks } = self;
        let (mut wrong, mut ended) = (None, None);
        let taken = frames.step(bytes, &mut |part| match part {
            Part::Begin { packed: true, .. } => wrong = Some(Stop::UNREADABLE),
            Part::Begin { .. } => {}
            Part::Data(data) => wrong = wrong.or(asks.feed(data).err().map(refused)),
            Part::End => ended = Some(asks.end().map_err(refused)),
        });
        let Ok(taken) = taken else {
            return (bytes.len(), Err(Stop::UNREADABLE));
        };
        (taken, wrong.map_or_else(|| ended.transpose(), Err))
    }

    /// Passes over what does not go on any more. Whether the client has closed.
    pub fn skip(&mut self, mut bytes: &[u8]) -> bool {
        while let (false, Ok(taken)) = (bytes.is_empty(), self.frames.step(bytes, &mut |_| {})) {
            bytes = &bytes[taken..];
        }
        self.frames.is_closed()
    }
}

fn refused(words: Words) -> Stop {
    Stop {
        code: Code::NotOnGatewayCredential,
        words,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::websocket::asks::Asked;

    /// Messages, and whether each goes on.
    const MESSAGES: [(&str, Option<Asked>); 7] = [
        (r#"{"type":"response.create"}"#, Some(Asked::Response)),
        (
            r#"{"type":"input_audio_buffer.append","audio":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}"#,
            Some(Asked::Other),
        ),
        (
            r#"{"session":{"tools":[{"type":"function","name":"\"type\":\"mcp\""}]},"type":"session.update"}"#,
            Some(Asked::Other),
        ),
        (r#"{"type":"response.cancel"}"#, Some(Asked::Other)),
        (
            r#"{"type":"session.update","session":{"tools":[{"type":"mcp"}]}}"#,
            None,
        ),
        ("", None),
        ("[]", None),
    ];

    /// A message as frames of these sizes, with pings between them.
    fn framed(text: &str, sizes: &[usize], mask: [u8; 4], to: &mut Vec<u8>) {
        let (mut left, mut opcode) = (text.as_bytes(), 0x01);
        let mut sizes = sizes.iter();
        loop {
            let size = sizes
                .next()
                .map_or(left.len(), |size| left.len().min(*size));
            let (now, later) = left.split_at(size);
            let last = later.is_empty();
            to.push(opcode | if last { 0x80 } else { 0 });
            match u8::try_from(now.len()) {
                Ok(short) if short < 126 => to.push(0x80 | short),
                _ => {
                    to.push(0x80 | 126);
                    to.extend(u16::try_from(now.len()).expect("short").to_be_bytes());
                }
            }
            to.extend(mask);
            let masked = now.iter().zip(mask.iter().cycle());
            to.extend(masked.map(|(byte, mask)| byte ^ mask));
            if last {
                return;
            }
            to.extend([0x89, 0x80, 1, 2, 3, 4]);
            (left, opcode) = (later, 0);
        }
    }

    /// What was asked for, whether it came to an end, and how many bytes went on before that.
    fn read(bytes: &[u8], pieces: &[usize]) -> (Vec<Asked>, bool, usize) {
        let (mut client, mut asked, mut passed) = (Client::new("m"), Vec::new(), 0);
        let mut pieces = pieces.iter();
        while passed < bytes.len() {
            let left = bytes.len() - passed;
            let size = pieces.next().map_or(left, |size| left.min(*size));
            let end = passed + size;
            while passed < end {
                let (taken, message) = client.step(&bytes[passed..end]);
                assert!(taken > 0 && taken <= end - passed);
                match message {
                    Ok(message) => asked.extend(message.map(|message| message.asked)),
                    Err(_) => return (asked, true, passed),
                }
                passed += taken;
            }
        }
        (asked, false, passed)
    }

    proptest! {
        /// However messages are framed, masked and cut, the same goes on: all before the first that does not, and of that
        /// one never the last byte.
        #[test]
        fn however_it_is_cut_the_same_goes_on(
            which in vec((0..MESSAGES.len(), vec(0..40_usize, 0..6), any::<[u8; 4]>()), 1..8),
            pieces in vec(1..64_usize, 0..60),
        ) {
            let (mut bytes, mut expected, mut bound) = (Vec::new(), Vec::new(), None);
            for (nth, sizes, mask) in &which {
                let (text, asked) = MESSAGES[*nth];
                let before = bytes.len();
                framed(text, sizes, *mask, &mut bytes);
                match asked {
                    Some(asked) if bound.is_none() => expected.push(asked),
                    None if bound.is_none() => bound = Some(before..bytes.len()),
                    _ => {}
                }
            }
            let (asked, ended, passed) = read(&bytes, &pieces);
            prop_assert_eq!(asked, expected);
            prop_assert_eq!(ended, bound.is_some());
            match bound {
                Some(bound) => prop_assert!(bound.contains(&passed), "{passed} of {bound:?}"),
                None => prop_assert_eq!(passed, bytes.len()),
            }
        }

        #[test]
        fn no_bytes_are_its_end(bytes in vec(any::<u8>(), 0..400), pieces in vec(1..9_usize, 0..90)) {
            let whole = read(&bytes, &[]);
            let cut = read(&bytes, &pieces);
            prop_assert_eq!((whole.0, whole.1), (cut.0, cut.1));
        }
    }

    #[test]
    fn what_is_compressed_does_not_go_on() {
        let (_, stopped) = Client::new("m").step(&[0xc1, 0x80, 0, 0, 0, 0]);
        assert_eq!(stopped.map_err(|stop| stop.code), Err(Code::InvalidRequest));
    }
}
