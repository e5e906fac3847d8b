//! What a request used: read from its answer on the way to the client, and told when the request ends. Nothing of the
//! answer is held back for it.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap};

use super::context::Routed;
use super::decoded;
use crate::surface::{Surface, Uses};
use crate::usage::{Flaw, Form, Meter, Report};

/// The meter of an answer with these headers; none where a request of the surface uses nothing, or the answer is
/// written in a way that is not read. `estimates`: it is charged even where it does not say what was used.
#[must_use]
pub fn of(
    surface: Option<Surface>,
    status: u16,
    headers: &HeaderMap,
    estimates: bool,
) -> Option<Box<Meter>> {
    // An answer to the question how many tokens there are.
    let uses = surface.map(Surface::uses);
    if matches!(uses, None | Some(Uses::Nothing)) || !(200..300).contains(&status) {
        return None;
    }
    let form = form(headers.get(CONTENT_TYPE)?.as_bytes())?;
    let coding = decoded::coding(headers)?;
    let meter = Meter::new(form, coding);
    // An image is not as many tokens as its bytes look like.
    let estimates = estimates && uses != Some(Uses::Untold);
    Some(Box::new(if estimates { meter.estimating() } else { meter }))
}

fn form(kind: &[u8]) -> Option<Form> {
    let end = kind.iter().position(|byte| matches!(byte, b';' | b' '));
    let kind = &kind[..end.unwrap_or(kind.len())];
    if kind.eq_ignore_ascii_case(b"application/json") {
        Some(Form::Json)
    } else if kind.eq_ignore_ascii_case(b"text/event-stream") {
        Some(Form::Events)
    } else {
        None
    }
}

/// Reads bytes of the answer that go to the client, as far as they do: a stream that has cost what it may ends.
pub fn feed(routed: Option<&mut Routed>, bytes: &mut Bytes) {
    let Some(routed) = routed else {
        return;
    };
    let Some(meter) = routed.meter.as_mut() else {
        return;
    };
    match routed.current.cap.as_deref_mut() {
        Some(cap) if meter.form() == Form::Events => {
            bytes.truncate(cap.pass(meter, bytes));
            if cap.has_ended() {
                routed.replay.stop();
            }
        }
        _ => meter.feed(bytes),
    }
}

/// What the access log calls a report.
#[must_use]
pub fn word(report: &Report) -> &'static str {
    match report.flaw {
        None => "reported",
        Some(Flaw::Missing) => "missing",
        Some(Flaw::Unreadable) => "unreadable",
        Some(Flaw::Absurd) => "absurd",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{CONTENT_ENCODING, HeaderName, HeaderValue};

    fn is_metered(surface: Surface, status: u16, headers: &[(HeaderName, &'static str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        of(Some(surface), status, &headers.collect(), false).is_some()
    }

    #[test]
    fn what_can_be_read_is_metered() {
        let json = (CONTENT_TYPE, "application/json; charset=utf-8");
        let events = (CONTENT_TYPE, "text/event-stream");
        for headers in [
            &[json.clone()][..],
            &[events],
            &[json.clone(), (CONTENT_ENCODING, "br")],
        ] {
            assert!(is_metered(Surface::Chat, 200, headers), "{headers:?}");
        }
        assert!(!is_metered(
            Surface::CountTokens,
            200,
            std::slice::from_ref(&json)
        ));
        assert!(!is_metered(Surface::Chat, 400, std::slice::from_ref(&json)));
        for headers in [
            &[][..],
            &[(CONTENT_TYPE, "audio/mpeg")],
            &[(CONTENT_TYPE, "application/jsonl")],
            &[json, (CONTENT_ENCODING, "compress")],
        ] {
            assert!(!is_metered(Surface::Chat, 200, headers), "{headers:?}");
        }
    }
}
