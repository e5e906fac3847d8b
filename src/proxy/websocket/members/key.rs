//! The keys that are looked for.

/// What the member at hand is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    #[default]
    Other,
    Type,
    Session,
    Response,
    Audio,
    Input,
    Transcription,
    Tools,
    Model,
    Prompt,
    Status,
    Most,
}

impl Key {
    /// In any letter case: some read it so.
    pub fn named(name: &[u8]) -> Self {
        const NAMES: [(&[u8], Key); 13] = [
            (b"type", Key::Type),
            (b"session", Key::Session),
            (b"response", Key::Response),
            (b"audio", Key::Audio),
            (b"input", Key::Input),
            (b"transcription", Key::Transcription),
            (b"input_audio_transcription", Key::Transcription),
            (b"tools", Key::Tools),
            (b"model", Key::Model),
            (b"prompt", Key::Prompt),
            (b"status", Key::Status),
            (b"max_output_tokens", Key::Most),
            (b"max_response_output_tokens", Key::Most),
        ];
        let mut names = NAMES.iter();
        names
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(Self::Other, |(_, key)| *key)
    }

    /// Whether its value is looked into.
    pub const fn leads_on(self) -> bool {
        matches!(
            self,
            Self::Session | Self::Response | Self::Audio | Self::Input | Self::Tools
        )
    }
}
