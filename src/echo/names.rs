//! Behaviours that a model's name asks for, so that failover and timeouts can be tried by hand.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

/// Longest delay that can be asked for: an hour, longer than any timeout of the gateway.
const DELAY_MAX: Duration = Duration::from_hours(1);

/// The names shown in the model list: one of each kind.
pub const LISTED: [&str; 3] = ["echo", "delay-2000", "status-503"];

/// What the echo provider does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It answers at once. Any name that is none of the others.
    Echo,
    /// `status-NNN`, 400 to 599: it answers with that status and an error in the vendor's shape.
    Status(StatusCode),
    /// `delay-MILLIS`: it sends nothing for so long, then answers. More than an hour counts as an hour.
    Delay(Duration),
}

impl Behaviour {
    /// The behaviour that `model` asks for.
    #[must_use]
    pub fn of(model: &str) -> Self {
        status(model).or_else(|| delay(model)).unwrap_or(Self::Echo)
    }

    /// The behaviour asked for by the model that a JSON body names. A body that cannot be read asks for nothing here:
    /// its surface answers with what is wrong about it.
    #[must_use]
    pub fn in_body(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Named {
            model: String,
        }
        serde_json::from_slice::<Named>(body).map_or(Self::Echo, |named| Self::of(&named.model))
    }
}

fn status(model: &str) -> Option<Behaviour> {
    let code: u16 = number(model.strip_prefix("status-")?)?;
    let status = StatusCode::from_u16(code).ok()?;
    (status.is_client_error() || status.is_server_error()).then_some(Behaviour::Status(status))
}

fn delay(model: &str) -> Option<Behaviour> {
    let millis = number(model.strip_prefix("delay-")?)?;
    Some(Behaviour::Delay(
        Duration::from_millis(millis).min(DELAY_MAX),
    ))
}

/// A number written with digits only (`parse` alone would take a sign).
fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ask_for_a_status_or_a_delay_and_all_others_echo() {
        let delay = |millis| Behaviour::Delay(Duration::from_millis(millis));
        assert_eq!(
            Behaviour::of("status-503"),
            Behaviour::Status(StatusCode::SERVICE_UNAVAILABLE)
        );
        assert_eq!(Behaviour::of("delay-0"), delay(0));
        assert_eq!(Behaviour::of("delay-2000"), delay(2_000));
        assert_eq!(
            Behaviour::of("delay-18446744073709551615"),
            Behaviour::Delay(DELAY_MAX)
        );
        let echoing = [
            "echo",
            "",
            "status-200",
            "status-600",
            "status-",
            "status-+503",
            "delay-x",
            "delay-",
            "gpt-4o",
        ];
        for name in echoing {
            assert_eq!(Behaviour::of(name), Behaviour::Echo, "{name}");
        }
    }

    #[test]
    fn the_name_is_found_in_a_body_and_a_broken_body_asks_for_nothing() {
        let status = Behaviour::Status(StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(
            Behaviour::in_body(br#"{"messages":[],"model":"status-429"}"#),
            status
        );
        assert_eq!(
            Behaviour::in_body(br#"{"model":"status-429""#),
            Behaviour::Echo
        );
        assert_eq!(Behaviour::in_body(br#"{"model":429}"#), Behaviour::Echo);
    }
}
