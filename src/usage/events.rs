//! Server-sent events that come in pieces (HTML Living Standard, section 9.2.6): the texts of their `data`, and whether
//! the last event of the stream was seen. An event that lies in one piece and does not speak of usage, as nearly all,
//! costs two vector searches.

use std::sync::LazyLock;

use memchr::memchr2;
use memchr::memmem;

/// Bytes of the longest line beginning that is looked at.
const START_MAX: usize = 32;

/// What every usage object is named with: `"usage"` and `"usageMetadata"`.
static USAGE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\"usage"));

/// What a stream says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'b> {
    /// Bytes of the data of the event at hand.
    Data(&'b [u8]),
    /// The data of a whole event that does not speak of usage.
    Plain(&'b [u8]),
    /// The event at hand is complete.
    End,
}

/// Reads one stream.
#[derive(Debug)]
pub(super) struct Events {
    line: Line,
    /// Whether the last line ended in a CR, so that an LF that follows belongs to it.
    after_cr: bool,
    /// Whether the event at hand has data that was told of.
    has_data: bool,
    /// Whether the event at hand is one after which no other comes.
    last: bool,
    /// Whether such a one was complete.
    ended: bool,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            line: Line::Start(Start::default()),
            after_cr: false,
            has_data: false,
            last: false,
            ended: false,
        }
    }
}

/// The line at hand.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// What it is is not known yet.
    Start(Start),
    /// Data, of which some was told of.
    Data,
    /// Something else.
    Other,
}

/// The beginning of a line.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    bytes: [u8; START_MAX],
    length: usize,
}

impl Start {
    fn text(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Events {
    /// Whether the stream's last event has come: OpenAI's `[DONE]`, Anthropic's `message_stop`, and the events that end
    /// a response of the Responses API.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// The next bytes; `told` hears of what they say.
    pub(super) fn feed(&mut self, mut bytes: &[u8], told: &mut impl FnMut(Part<'_>)) {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = memchr2(b'\n', b'\r', bytes);
            let (text, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            match rest.split_first() {
                None => self.part(text, told),
                Some((terminator, next)) => {
                    self.after_cr = *terminator == b'\r';
                    let next = next
                        .strip_prefix(b"\n")
                        .filter(|_| self.after_cr)
                        .unwrap_or(next);
                    let is_event = matches!(next.first(), Some(b'\n' | b'\r'));
                    self.rest_of_line(text, is_event, told);
                }
            }
            bytes = rest.get(1..).unwrap_or_default();
        }
    }

    /// Bytes of a line that does not end with them.
    fn part(&mut self, text: &[u8], told: &mut impl FnMut(Part<'_>)) {
        let Line::Start(mut start) = self.line else {
            if matches!(self.line, Line::Data) {
                told(Part::Data(text));
            }
            return;
        };
        let room = START_MAX - start.length;
        if text.len() < room {
            start.bytes[start.length..start.length + text.len()].copy_from_slice(text);
            start.length += text.len();
            self.line = Line::Start(start);
            return;
        }
        match data_of(start.text(), text) {
            Some((one, two)) => {
                self.line = Line::Data;
                self.has_data = true;
                told(Part::Data(one));
                told(Part::Data(two));
            }
            None => self.line = Line::Other,
        }
    }

    /// The rest of a line. `is_event`: an empty line is known to follow, so that the event is complete.
    fn rest_of_line(&mut self, text: &[u8], is_event: bool, told: &mut impl FnMut(Part<'_>)) {
        match std::mem::replace(&mut self.line, Line::Start(Start::default())) {
            Line::Other => {}
            Line::Data => {
                told(Part::Data(text));
                told(Part::Data(b"\n"));
            }
            Line::Start(start) if start.length + text.len() == 0 => {
                self.ended |= std::mem::take(&mut self.last);
                if std::mem::take(&mut self.has_data) {
                    told(Part::End);
                }
            }
            Line::Start(start) => self.line(start.text(), text, is_event, told),
        }
    }

    /// A whole line, in two parts.
    fn line(&mut self, start: &[u8], text: &[u8], is_event: bool, told: &mut impl FnMut(Part<'_>)) {
        let Some((one, two)) = data_of(start, text) else {
            self.last |= is_last(start, text);
            return;
        };
        if is(one, two, b"[DONE]") {
            self.last = true;
            return;
        }
        if one.is_empty() && is_event && !self.has_data && USAGE.find(two).is_none() {
            told(Part::Plain(two));
            return;
        }
        self.has_data = true;
        for part in [one, two, b"\n"] {
            told(Part::Data(part));
        }
    }
}

/// Whether two parts together are `text`.
fn is(one: &[u8], two: &[u8], text: &[u8]) -> bool {
    text.strip_prefix(one) == Some(two)
}

/// The value of a line of data, in two parts, of which the first is nearly always empty.
fn data_of<'b>(start: &'b [u8], text: &'b [u8]) -> Option<(&'b [u8], &'b [u8])> {
    const FIELD: &[u8] = b"data:";
    if start.is_empty() {
        let value = text.strip_prefix(FIELD)?;
        return Some((&[], value.strip_prefix(b" ").unwrap_or(value)));
    }
    let from_start = start.len().min(FIELD.len());
    let (field, rest) = FIELD.split_at(from_start);
    let one = start.strip_prefix(field)?;
    let two = text.strip_prefix(rest)?;
    Some(match (one, two) {
        ([], two) => (&[], two.strip_prefix(b" ").unwrap_or(two)),
        (one, two) => (one.strip_prefix(b" ").unwrap_or(one), two),
    })
}

/// Whether a line names an event that ends a stream.
fn is_last(start: &[u8], text: &[u8]) -> bool {
    const LAST: [&[u8]; 4] = [
        b"message_stop",
        b"response.completed",
        b"response.incomplete",
        b"response.failed",
    ];
    const LONGEST: usize = b"event: response.incomplete".len();
    let length = start.len() + text.len();
    if length > LONGEST || start.first().or(text.first()) != Some(&b'e') {
        return false;
    }
    let mut line = [0; LONGEST];
    line[..start.len()].copy_from_slice(start);
    line[start.len()..length].copy_from_slice(text);
    let value = line[..length].strip_prefix(b"event:");
    value.is_some_and(|name| LAST.contains(&name.strip_prefix(b" ").unwrap_or(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of the events that were told of, and whether the stream has ended; however it is cut.
    fn read(text: &str) -> (Vec<String>, bool) {
        let whole = in_pieces(&[text.as_bytes()]);
        for first in 0..=text.len() {
            let (one, rest) = text.as_bytes().split_at(first);
            check(&in_pieces(&[one, rest]), &whole, text, first);
            let (two, three) = rest.split_at(rest.len().min(1));
            check(&in_pieces(&[one, two, three]), &whole, text, first);
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        check(&in_pieces(&bytes), &whole, text, 0);
        whole
    }

    /// What is told of may be more when an event is cut: those that speak of usage are the same.
    fn check(one: &(Vec<String>, bool), whole: &(Vec<String>, bool), text: &str, cut: usize) {
        let of_usage = |events: &[String]| {
            let speaks = |event: &&String| event.contains("\"usage");
            events.iter().filter(speaks).cloned().collect::<Vec<_>>()
        };
        assert_eq!(of_usage(&one.0), of_usage(&whole.0), "cut at {cut}: {text}");
        assert_eq!(one.1, whole.1, "cut at {cut}: {text}");
    }

    fn in_pieces(pieces: &[&[u8]]) -> (Vec<String>, bool) {
        let mut events = Events::default();
        let (mut all, mut event) = (Vec::new(), Vec::new());
        for piece in pieces {
            events.feed(piece, &mut |part| match part {
                Part::Data(data) => event.extend_from_slice(data),
                Part::Plain(_) => {}
                Part::End => all.push(String::from_utf8(std::mem::take(&mut event)).expect("text")),
            });
        }
        (all, events.ended())
    }

    #[test]
    fn only_events_that_speak_of_usage_are_told_of_where_they_come_whole() {
        let stream = "data: {\"a\":1}\n\ndata: {\"usage\":2}\n\ndata: [DONE]\n\n";
        assert_eq!(read(stream), (vec!["{\"usage\":2}\n".to_owned()], true));
    }

    #[test]
    fn lines_end_in_every_way_and_data_may_have_several() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = [
                ": comment with \"usage\"",
                "event: x",
                "data: {\"a\":1,",
                "data:\"usage\":{}}",
                "id: 7",
                "",
                "event: message_stop",
                "data: {}",
                "",
                "",
            ];
            let told = vec!["{\"a\":1,\n\"usage\":{}}\n".to_owned()];
            assert_eq!(read(&stream.join(end)), (told, true), "{end:?}");
        }
    }

    #[test]
    fn a_stream_has_ended_with_its_last_event_only() {
        for last in [
            "data: [DONE]\n\n",
            "data:[DONE]\n\n",
            "event: message_stop\ndata: {}\n\n",
            "event:response.completed\ndata: {}\n\n",
            "event: response.incomplete\r\ndata: {}\r\n\r\n",
            "event: response.failed\ndata: {}\n\n",
        ] {
            assert!(read(last).1, "{last}");
            let cut = last.trim_end();
            assert!(!read(cut).1, "{cut}");
        }
        for other in [
            "data: \"[DONE]\"\n\n",
            "data: [DONE] \n\n",
            "event: message_stop2\ndata: {}\n\n",
            "event: response.completed.not.at.all.this.time\ndata: {}\n\n",
            "data: event: message_stop\n\n",
            "event: content_block_stop\ndata: message_stop\n\n",
            ": [DONE]\n\n",
        ] {
            assert!(!read(other).1, "{other}");
        }
    }

    #[test]
    fn an_event_that_is_cut_off_tells_what_came_of_it() {
        let mut data = Vec::new();
        let mut events = Events::default();
        let text = b"data: {\"id\":\"a long one, longer than a start\",\"usage\":{}";
        events.feed(text, &mut |part| {
            if let Part::Data(part) = part {
                data.extend_from_slice(part);
            }
        });
        assert!(data.ends_with(b"\"usage\":{}"));
    }
}
