//! The frames of one direction of a WebSocket (RFC 6455, section 5.2), read from bytes that come in pieces of any size.
//! Nothing of them is kept but the head of the frame at hand, and control frames are passed over.

/// Bytes of the longest head of a frame.
const HEAD_MAX: usize = 14;

/// Bytes that are unmasked at once.
const UNMASKED: usize = 1024;

/// The most that a control frame holds, in bytes.
const CONTROL_MAX: u64 = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// What the frames say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'b> {
    /// A message begins.
    Begin {
        /// Whether it is text.
        text: bool,
        /// Whether an extension has changed it (RSV1; RFC 7692, section 6).
        packed: bool,
    },
    /// Bytes of the message at hand, unmasked.
    Data(&'b [u8]),
    /// The message at hand is complete.
    End,
}

/// What comes is no frame, or not one that may come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFrame;

/// Reads one direction.
#[derive(Debug, Default)]
pub struct Frames {
    /// The head of a frame, as far as it has come.
    head: [u8; HEAD_MAX],
    head_length: usize,
    /// The frame at hand, once its head is there.
    frame: Option<Frame>,
    /// Whether a message has begun and is not complete.
    open: bool,
    /// Whether a close frame has come.
    closed: bool,
    failed: bool,
}

/// A frame whose head has come.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Bytes that are still to come.
    left: u64,
    mask: Option<[u8; 4]>,
    /// Which byte of the mask is next.
    at: usize,
    /// Whether it is a part of a message.
    data: bool,
    /// Whether the message is complete with it.
    last: bool,
    /// Whether it closes the connection.
    close: bool,
}

impl Frames {
    /// The next bytes; `told` hears of what they say.
    #[cfg(test)]
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        told: &mut impl FnMut(Part<'_>),
    ) -> Result<(), NoFrame> {
        while !bytes.is_empty() {
            let taken = self.step(bytes, told)?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Takes some of these bytes, of which there must be one, and no more than to the end of a frame; how many. `told` hears
    /// of what they say.
    ///
    /// # Errors
    /// Once something is no frame: nothing more can be told then.
    pub fn step(
        &mut self,
        bytes: &[u8],
        told: &mut impl FnMut(Part<'_>),
    ) -> Result<usize, NoFrame> {
        if self.failed {
            return Err(NoFrame);
        }
        match self.frame {
            Some(frame) => Ok(self.payload(frame, bytes, told)),
            None => self.head(bytes, told),
        }
    }

    /// Whether another frame may come next, and whether one that begins a message may.
    #[must_use]
    pub fn boundary(&self) -> (bool, bool) {
        let between = self.frame.is_none() && self.head_length == 0 && !self.failed;
        (between, between && !self.open)
    }

    /// Whether a close frame has come.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes bytes of a head, at least one.
    fn head(&mut self, bytes: &[u8], told: &mut impl FnMut(Part<'_>)) -> Result<usize, NoFrame> {
        let mut taken = 0;
        while taken < bytes.len() {
            self.head[self.head_length] = bytes[taken];
            self.head_length += 1;
            taken += 1;
            if self.head_length == head_length(&self.head, self.head_length) {
                self.head_length = 0;
                return match self.begin(told) {
                    Some(frame) => {
                        self.frame = Some(frame);
                        self.end_of_frame(told);
                        Ok(taken)
                    }
                    None => {
                        self.failed = true;
                        Err(NoFrame)
                    }
                };
            }
        }
        Ok(taken)
    }

    /// The frame whose head is complete; none where it may not come.
    fn begin(&mut self, told: &mut impl FnMut(Part<'_>)) -> Option<Frame> {
        let [first, second, ..] = self.head;
        let (last, reserved, opcode) = (first & 0x80 != 0, first >> 4 & 0b111, first & 0x0f);
        let (left, mask_at) = length(&self.head)?;
        let packed = reserved == 0b100;
        if reserved & 0b011 != 0 {
            return None;
        }
        let data = match opcode {
            TEXT | BINARY if !self.open => {
                self.open = true;
                let text = opcode == TEXT;
                told(Part::Begin { text, packed });
                true
            }
            CONTINUATION if self.open && !packed => true,
            CLOSE..=PONG if last && left <= CONTROL_MAX && !packed => false,
            _ => return None,
        };
        let mask = (second & 0x80 != 0).then(|| {
            let mut mask = [0; 4];
            mask.copy_from_slice(&self.head[mask_at..mask_at + 4]);
            mask
        });
        Some(Frame {
            left,
            mask,
            at: 0,
            data,
            last,
            close: opcode == CLOSE,
        })
    }

    /// Takes bytes of a frame, at least one.
    fn payload(
        &mut self,
        mut frame: Frame,
        bytes: &[u8],
        told: &mut impl FnMut(Part<'_>),
    ) -> usize {
        let taken = bytes
            .len()
            .min(usize::try_from(frame.left).unwrap_or(usize::MAX));
        if frame.data {
            frame.tell(&bytes[..taken], told);
        }
        frame.left -= taken as u64;
        self.frame = Some(frame);
        self.end_of_frame(told);
        taken
    }

    /// Ends the frame at hand, if it is complete.
    fn end_of_frame(&mut self, told: &mut impl FnMut(Part<'_>)) {
        let Some(frame) = self.frame.filter(|frame| frame.left == 0) else {
            return;
        };
        self.frame = None;
        self.closed |= frame.close;
        if frame.data && frame.last {
            self.open = false;
            told(Part::End);
        }
    }
}

impl Frame {
    fn tell(&mut self, bytes: &[u8], told: &mut impl FnMut(Part<'_>)) {
        let Some(mask) = self.mask else {
            told(Part::Data(bytes));
            return;
        };
        let mut plain = [0; UNMASKED];
        for piece in bytes.chunks(UNMASKED) {
            for (to, from) in plain.iter_mut().zip(piece) {
                *to = from ^ mask[self.at];
                self.at = (self.at + 1) % mask.len();
            }
            told(Part::Data(&plain[..piece.len()]));
        }
    }
}

/// The length of a head of which so many bytes are there, as far as they tell.
fn head_length(head: &[u8; HEAD_MAX], there: usize) -> usize {
    if there < 2 {
        return 2;
    }
    let mask = if head[1] & 0x80 == 0 { 0 } else { 4 };
    let extended = match head[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + extended + mask
}

/// The length of the frame's payload, and where its mask stands; none where it is longer than any frame may be.
fn length(head: &[u8; HEAD_MAX]) -> Option<(u64, usize)> {
    let of = |bytes: &[u8]| {
        let sum = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        bytes.iter().fold(0, sum)
    };
    let (length, mask_at) = match head[1] & 0x7f {
        126 => (of(&head[2..4]), 4),
        127 => (of(&head[2..10]), 10),
        short => (u64::from(short), 2),
    };
    (length <= i64::MAX.unsigned_abs()).then_some((length, mask_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a server writes it, or as a client does, with a mask.
    fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let bit = if mask.is_some() { 0x80 } else { 0 };
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.push(bit | u8::try_from(short).expect("short")),
            middle @ 126..65_536 => {
                frame.push(bit | 126);
                frame.extend(u16::try_from(middle).expect("middle").to_be_bytes());
            }
            long => {
                frame.push(bit | 127);
                frame.extend((long as u64).to_be_bytes());
            }
        }
        frame.extend(mask.iter().flatten());
        let masked = payload.iter().enumerate();
        frame.extend(masked.map(|(at, byte)| byte ^ mask.map_or(0, |mask| mask[at % 4])));
        frame
    }

    /// The messages, each with how it began, and whether everything was read.
    fn read(pieces: &[&[u8]]) -> (Vec<(bool, bool, Vec<u8>)>, bool) {
        let (mut frames, mut all, mut ok) = (Frames::default(), Vec::new(), true);
        let mut message = None;
        for piece in pieces {
            let read = frames.feed(piece, &mut |part| match part {
                Part::Begin { text, packed } => message = Some((text, packed, Vec::new())),
                Part::Data(data) => message.as_mut().expect("begun").2.extend(data),
                Part::End => all.push(message.take().expect("begun")),
            });
            ok &= read.is_ok();
        }
        (all, ok)
    }

    /// However the bytes are cut in two, and byte by byte, the same is read.
    fn whole(bytes: &[u8]) -> Vec<(bool, bool, Vec<u8>)> {
        let (all, ok) = read(&[bytes]);
        assert!(ok);
        for cut in 0..=bytes.len().min(4096) {
            let (one, two) = bytes.split_at(cut);
            assert_eq!(read(&[one, two]), (all.clone(), true), "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single), (all.clone(), true));
        all
    }

    #[test]
    fn messages_are_read_however_they_are_cut_framed_and_masked() {
        let mask = Some([0x37, 0xfa, 0x21, 0x3d]);
        for length in [0, 1, 125, 126, 127, 1500] {
            let text: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
            for mask in [None, mask] {
                let mut bytes = frame(0x81, &text, mask);
                bytes.extend(frame(0x82, b"\0\x01", mask));
                let messages = whole(&bytes);
                assert_eq!(messages[0], (true, false, text.clone()), "{length}");
                assert_eq!(messages[1], (false, false, b"\0\x01".to_vec()));
            }
        }
        let long = vec![b'x'; 70_000];
        assert_eq!(read(&[&frame(0x81, &long, mask)]).0[0].2, long);
    }

    #[test]
    fn fragments_are_one_message_and_control_frames_between_them_none() {
        let mut bytes = frame(0x01, b"Hel", None);
        bytes.extend(frame(0x89, b"ping", None));
        bytes.extend(frame(0x00, b"", None));
        bytes.extend(frame(0x8a, b"pong", None));
        bytes.extend(frame(0x80, b"lo", None));
        bytes.extend(frame(0x88, &[0x03, 0xe8], None));
        assert_eq!(whole(&bytes), [(true, false, b"Hello".to_vec())]);
        let mut frames = Frames::default();
        for (nth, byte) in bytes.iter().enumerate() {
            assert!(!frames.is_closed(), "{nth}");
            assert_eq!(frames.feed(&[*byte], &mut |_| {}), Ok(()));
        }
        assert!(frames.is_closed());
    }

    #[test]
    fn a_message_that_an_extension_changed_is_told_as_such() {
        let mut bytes = frame(0x41, b"ab", None);
        bytes.extend(frame(0x80, b"c", None));
        assert_eq!(whole(&bytes), [(true, true, b"abc".to_vec())]);
    }

    #[test]
    fn what_is_no_frame_ends_the_reading_and_panics_nowhere() {
        let huge = [&[0x82, 0xff][..], &[0xff; 12]].concat();
        let begun = [frame(0x01, b"a", None), frame(0x81, b"b", None)].concat();
        for bytes in [
            &[0x83, 0][..],
            &[0x8b, 0],
            &[0x80, 0],
            &[0xa1, 0],
            &[0x91, 0],
            &[0xc9, 0],
            &[0x09, 0],
            &[0x89, 126, 0, 126],
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &huge,
            &begun,
        ] {
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert!(!read(&single).1, "{bytes:?}");
            assert!(!read(&[bytes, b"more"]).1, "{bytes:?}");
        }
    }

    #[test]
    fn a_frame_of_nearly_any_length_is_begun_in_no_memory() {
        let mut bytes = vec![0x82, 127];
        bytes.extend(i64::MAX.to_be_bytes());
        bytes.extend(b"and so on");
        let mut frames = Frames::default();
        let mut data = 0;
        let read = frames.feed(&bytes, &mut |part| {
            if let Part::Data(part) = part {
                data += part.len();
            }
        });
        assert_eq!((read, data), (Ok(()), 9));
    }
}
