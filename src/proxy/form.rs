//! Requests that are forms (`multipart/form-data`: audio, pictures), with the model in a field. The form passes the scanner
//! on its way in, and no more of it is kept than of any other body: where it may not be kept, it is streamed through once its
//! model is known, so that a file behind it takes no memory.
//!
//! For all that is decided of the request, a form is the JSON object of its model and of whether it asks for a stream.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use pingora::protocols::http::ServerSession;

use super::body::{self, Body, Bounds, Reading, Unread};
use super::edits::{Laid, Made};
use super::memory::ReplayMemory;
use super::reject::{Code, Rejection};
use super::seen::Seen;
use crate::model::form::{Flaw, Form, Model};
use crate::model::splice::{self, Edit, Edits};
use crate::surface::{ModelAt, Surface};
use crate::usage::Coding;

/// A form, as far as it was read.
#[derive(Debug)]
pub struct Upload {
    /// Its bytes, as the client sent them.
    pub bytes: Bytes,
    /// What reads it.
    pub form: Form,
}

impl Reading for Form {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Rejection> {
        Self::feed(self, bytes).map_err(flawed)
    }

    fn finish(&self) -> Result<(), Rejection> {
        Self::finish(self).map_err(flawed)
    }

    fn names_model(&self) -> bool {
        self.model().is_some()
    }
}

/// The refusal of a form.
#[must_use]
pub fn flawed(flaw: Flaw) -> Rejection {
    let code = match flaw {
        Flaw::Twice | Flaw::LookAlike => Code::AmbiguousModel,
        _ => Code::InvalidRequest,
    };
    Rejection::new(code, format!("The form in the request body {flaw}."))
}

/// The form that a request of `surface` sends; none where it sends something else, as JSON.
///
/// # Errors
/// A refusal when its boundary is unusable.
pub fn of(session: &ServerSession, surface: Surface) -> Result<Option<Form>, Rejection> {
    if surface.spec().model_at != ModelAt::Multipart {
        return Ok(None);
    }
    let mut types = session.req_header().headers.get_all(CONTENT_TYPE).iter();
    let Some(first) = types.next() else {
        return Ok(None);
    };
    let form = Form::of_type(first.as_bytes());
    if form.is_some() && types.next().is_some() {
        return Err(flawed(Flaw::Boundary));
    }
    form.transpose().map_err(flawed)
}

/// Reads the form that is the body of `session`, as far as routing needs it.
///
/// # Errors
/// As [`body::read`], and where it is no form that can be read in one way only.
pub async fn read(
    session: &mut ServerSession,
    seen: Seen,
    memory: &Arc<ReplayMemory>,
    bounds: &Bounds,
    form: Form,
) -> Result<Body, Unread> {
    let (declared, coding) = body::examine(session, seen, bounds)?;
    if coding != Coding::Identity {
        return Err(Rejection::new(
            Code::UnsupportedEncoding,
            "The form in the request body is compressed. Send it without Content-Encoding.",
        )
        .into());
    }
    let got = body::gather(session, seen.expect, memory, bounds, declared, form).await?;
    let Some(model) = got.scanner.model() else {
        return Err(flawed(Flaw::Missing).into());
    };
    let mut body = Body::of_bytes(standing_for(model, got.scanner.is_streamed()))?;
    body.declared = got.declared;
    body.whole = got.whole;
    body.share = got.share;
    body.lost = got.lost;
    body.upload = Some(Box::new(Upload {
        bytes: got.bytes,
        form: got.scanner,
    }));
    Ok(body)
}

/// The JSON object that says of the request what the form says.
fn standing_for(model: &Model, streamed: bool) -> Bytes {
    let said = serde_json::json!({"model": model.name, "stream": streamed});
    Bytes::from(said.to_string())
}

/// Lays out a form that asks for `model`: its value is replaced where it says another name, and no other byte changes.
///
/// # Errors
/// Never, of a form that names its model.
pub fn lay_out(upload: &Upload, body: &Body, model: &str) -> Result<Laid, Rejection> {
    let named = upload.form.model();
    let named = named.ok_or_else(|| flawed(Flaw::Missing))?;
    let mut edits = Edits::new();
    let mut made = Made::default();
    if named.name != model {
        made = Made::RENAMED;
        edits.push(Edit {
            range: named.value.clone(),
            with: Bytes::copy_from_slice(model.as_bytes()),
        });
    }
    let pieces = splice::splice(&upload.bytes, &edits);
    let pieces = pieces.map_err(|_| flawed(Flaw::Missing))?;
    let known = if body.whole {
        Some(upload.bytes.len() as u64)
    } else {
        body.declared
    };
    let rest = known.map(|length| length.saturating_sub(upload.bytes.len() as u64));
    Ok(Laid {
        length: rest.map(|rest| rest + pieces.total_len() as u64),
        pieces,
        made,
    })
}
