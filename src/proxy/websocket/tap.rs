//! Reads on a copy what an upstream says over a WebSocket of what was used. Whatever cannot be read is no mistake of
//! anybody here: the frames have gone on, and what was used is unknown.

use flate2::{Decompress, FlushDecompress, Status};

use super::frames::{Frames, Part};
use crate::usage::{Flaw, Report, Said, Talk};

/// What a message ends in that is left out on the wire (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Bytes that are inflated at once.
const INFLATED: usize = 4 * 1024;

/// Bytes that one message may inflate to. None has nearly as many; what does was made to keep us busy.
const MESSAGE_MAX: u64 = 64 << 20;

/// Reads the upstream's frames.
#[derive(Default)]
pub struct Tap {
    frames: Frames,
    talk: Talk,
    message: Message,
    /// Whether something could not be read: nothing more is then.
    lost: bool,
    /// Whether it is nobody's matter what is said, but where frames end.
    deaf: bool,
}

/// The message at hand, and what outlasts it.
#[derive(Default)]
struct Message {
    text: bool,
    packed: bool,
    /// The history that all compressed messages share (about 40 KiB); none before the first of them.
    inflater: Option<Box<Decompress>>,
    /// Bytes that it may still inflate to.
    room: u64,
    /// Bytes of it so far.
    length: u64,
}

impl Tap {
    /// One that knows where frames end, and nothing of what they say.
    #[must_use]
    pub fn deaf() -> Self {
        Self {
            deaf: true,
            ..Self::default()
        }
    }

    /// The next bytes from the upstream.
    #[cfg(test)]
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.lost {
            let (taken, _) = self.step(bytes, &mut |_| {});
            bytes = &bytes[taken..];
        }
    }

    /// Takes some of these bytes, of which there must be one; how many, and the message that is complete with them: what
    /// it says, and its length in bytes. Takes all once it is lost. `heard` has what messages say as it comes.
    pub fn step(
        &mut self,
        bytes: &[u8],
        heard: &mut impl FnMut(&[u8]),
    ) -> (usize, Option<(Said, u64)>) {
        let mut said = None;
        if self.lost {
            return (bytes.len(), said);
        }
        let Self {
            frames,
            talk,
            message,
            lost,
            deaf,
        } = self;
        let read = frames.step(bytes, &mut |part| {
            if !*lost && !*deaf {
                match message.take(part, talk, heard) {
                    Some(ended) => said = ended,
                    None => *lost = true,
                }
            }
        });
        *lost |= read.is_err();
        if *lost {
            message.inflater = None;
        }
        (read.unwrap_or(bytes.len()), said)
    }

    /// Whether nothing more can be read.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Whether another frame may come next, and whether one that begins a message may.
    #[must_use]
    pub fn boundary(&self) -> (bool, bool) {
        self.frames.boundary()
    }

    /// What was used, as far as it was told.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = self.talk.report();
        if self.lost {
            report.flaw = Some(Flaw::Unreadable);
        }
        report
    }
}

impl Message {
    /// Takes a part in; what the message says, if it is complete with it. None where it cannot be read.
    fn take(
        &mut self,
        part: Part<'_>,
        talk: &mut Talk,
        heard: &mut impl FnMut(&[u8]),
    ) -> Option<Option<(Said, u64)>> {
        match part {
            Part::Begin { text, packed } => {
                (self.text, self.packed, self.room) = (text, packed, MESSAGE_MAX);
                self.length = 0;
            }
            Part::Data(data) => {
                self.length = self.length.saturating_add(data.len() as u64);
                if self.packed {
                    self.inflate(data, talk, heard)?;
                } else if self.text {
                    talk.feed(data);
                    heard(data);
                }
            }
            Part::End => {
                if self.packed {
                    self.inflate(&TAIL, talk, heard)?;
                }
                if self.text {
                    return Some(Some((talk.end(), self.length)));
                }
            }
        }
        Some(None)
    }

    /// Those that are no text are inflated, too: later ones refer to them.
    fn inflate(
        &mut self,
        mut bytes: &[u8],
        talk: &mut Talk,
        heard: &mut impl FnMut(&[u8]),
    ) -> Option<()> {
        let inflater = self
            .inflater
            .get_or_insert_with(|| Box::new(Decompress::new(false)));
        let mut out = [0; INFLATED];
        loop {
            let (read, written) = (inflater.total_in(), inflater.total_out());
            let status = inflater.decompress(bytes, &mut out, FlushDecompress::Sync);
            let read = usize::try_from(inflater.total_in() - read).ok()?;
            let written = usize::try_from(inflater.total_out() - written).ok()?;
            self.room = self.room.checked_sub(written as u64)?;
            if self.text {
                let plain = out.get(..written)?;
                talk.feed(plain);
                heard(plain);
            }
            bytes = bytes.get(read..)?;
            match status.ok()? {
                // A sender may end its history with a message.
                Status::StreamEnd => inflater.reset(false),
                Status::Ok | Status::BufError => {}
            }
            if written < out.len() && (bytes.is_empty() || read == 0) {
                return bytes.is_empty().then_some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first, 126];
        frame.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
        frame.extend(payload);
        frame
    }

    fn done(input: u32) -> String {
        format!(
            r#"{{"type":"response.done","response":{{"usage":{{"input_tokens":{input},"output_tokens":1}}}}}}"#
        )
    }

    fn deflated(with: &mut Compress, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() + 64);
        with.compress_vec(text, &mut out, FlushCompress::Sync)
            .expect("deflated");
        out.strip_suffix(&TAIL).expect("a flush").to_vec()
    }

    fn read(bytes: &[u8], size: usize) -> Report {
        let mut tap = Tap::default();
        bytes.chunks(size).for_each(|piece| tap.feed(piece));
        tap.report()
    }

    #[test]
    fn usage_is_read_from_plain_and_from_compressed_messages() {
        let plain = [
            frame(0x81, done(3).as_bytes()),
            frame(0x81, done(4).as_bytes()),
        ]
        .concat();
        let mut with = Compress::new(Compression::default(), false);
        let mut packed = Vec::new();
        // The second refers to the first, and a binary one stands between them.
        packed.extend(frame(0xc1, &deflated(&mut with, done(3).as_bytes())));
        packed.extend(frame(0xc2, &deflated(&mut with, &[7; 9000])));
        let last = deflated(&mut with, done(4).as_bytes());
        let (one, two) = last.split_at(last.len() / 2);
        packed.extend(frame(0x41, one));
        packed.extend(frame(0x89, b"ping"));
        packed.extend(frame(0x80, two));
        for bytes in [&plain, &packed] {
            for size in [1, 2, 3, 50, 10_000] {
                let report = read(bytes, size);
                assert_eq!((report.usage.input, report.usage.output), (7, 2));
                assert_eq!(report.flaw, None);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_leaves_what_was_read_and_says_so() {
        for broken in [frame(0xc1, b"\xff\xff\xff no deflate"), frame(0x83, b"?")] {
            let mut bytes = frame(0x81, done(3).as_bytes());
            bytes.extend(broken);
            bytes.extend(frame(0x81, done(4).as_bytes()));
            let report = read(&bytes, 7);
            assert_eq!(report.usage.input, 3);
            assert_eq!(report.flaw, Some(Flaw::Unreadable));
        }
    }

    #[test]
    fn a_message_that_inflates_without_end_is_given_up() {
        let mut with = Compress::new(Compression::best(), false);
        let mut tap = Tap::default();
        let zeros = vec![0; 1 << 20];
        let piece = deflated(&mut with, &zeros);
        let mut first = 0x41;
        for _ in 0..70 {
            tap.feed(&frame(first, &piece));
            tap.feed(&frame(0x00, &TAIL));
            first = 0x00;
        }
        assert_eq!(tap.report().flaw, Some(Flaw::Unreadable));
    }
}
