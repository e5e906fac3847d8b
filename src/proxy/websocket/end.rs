//! How the gateway ends a WebSocket: an event in the shape of the Realtime API, and a close frame (RFC 6455, section 5.5.1).

use super::charged::Stop;
use crate::proxy::reject::Code;

/// Against a policy (RFC 6455, section 7.4.1).
const POLICY: u16 = 1008;

/// Try again later, as IANA has it.
const LATER: u16 = 1013;

/// The longest payload that a head of two bytes can tell.
const SHORT: usize = 125;

/// The frames for the client: the event only where a message may begin. None of them is masked.
#[must_use]
pub fn frames(stop: Stop, event: bool) -> Vec<u8> {
    let mut frames = Vec::with_capacity(512);
    if event {
        let text = text(stop);
        frames.push(0x81);
        match u8::try_from(text.len()) {
            Ok(short) if text.len() <= SHORT => frames.push(short),
            // No words of ours are as long as that.
            _ => {
                frames.push(126);
                let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
                frames.extend(length.to_be_bytes());
            }
        }
        frames.extend(text.bytes());
    }
    let code = match stop.code {
        Code::StoreUnavailable => LATER,
        _ => POLICY,
    };
    let reason = stop.code.name();
    let length = u8::try_from(reason.len() + 2).unwrap_or(2);
    frames.extend([0x88, length]);
    frames.extend(code.to_be_bytes());
    frames.extend(reason.bytes().take(usize::from(length) - 2));
    frames
}

fn text(stop: Stop) -> String {
    let Stop { code, words } = stop;
    let (code, kind) = (code.name(), kind(code));
    format!(
        r#"{{"type":"error","event_id":"event_tollgate","error":{{"type":"{kind}","code":"{code}","message":"{words}","param":null,"event_id":null}}}}"#
    )
}

/// What OpenAI calls such an error.
const fn kind(code: Code) -> &'static str {
    match code {
        Code::InsufficientCredit | Code::SpendCapReached => "insufficient_quota",
        Code::StoreUnavailable => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests read back what was written"
)]
mod tests {
    use super::*;
    use crate::proxy::websocket::frames::{Frames, Part};

    #[test]
    fn the_event_is_json_and_the_close_frame_has_code_and_reason() {
        for code in [
            Code::InsufficientCredit,
            Code::StoreUnavailable,
            Code::NotOnGatewayCredential,
        ] {
            let stop = Stop {
                code,
                words: "Some words.",
            };
            let all = frames(stop, true);
            let (mut text, mut reader) = (Vec::new(), Frames::default());
            let read = reader.feed(&all, &mut |part| {
                if let Part::Data(data) = part {
                    text.extend(data);
                }
            });
            assert!(read.is_ok() && reader.boundary() == (true, true));
            let event: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            assert_eq!(event["type"], "error");
            assert_eq!(event["error"]["code"], code.name());
            assert!(all.ends_with(&frames(stop, false)));
            assert!(all.ends_with(code.name().as_bytes()));
        }
    }
}
