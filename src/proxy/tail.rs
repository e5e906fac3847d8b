//! The part of a body that comes while the request is already under way.

use std::time::Duration;

use super::body::{Body, Bounds, malformed, slow, too_large};
use super::form;
use super::members;
use super::pace::Pace;
use super::reject::{Code, Rejection};
use crate::model::form::Form;
use crate::model::scan::{Member, Members, Scanner};

/// The part of a body that is still on the wire when the request is already under way, and the
/// rules that it must keep.
#[derive(Debug)]
pub struct Tail {
    /// Reads it as JSON; none where it is a form, or passed on, whatever it is.
    scanner: Option<Scanner>,
    /// Reads it as a form, where it is one.
    form: Option<Box<Form>>,
    /// The length that was announced, in bytes: nobody asks for more behind that.
    declared: Option<u64>,
    length: u64,
    limit: u64,
    pace: Pace,
    ended: bool,
    fault: Option<Rejection>,
    /// The members by which it was priced, where it is charged.
    known: Option<Box<Members>>,
}

impl Tail {
    /// The rest of `body`, under the same bounds. `charged`: it must not change what the request can cost.
    #[must_use]
    pub fn of(body: &Body, bounds: &Bounds, charged: bool) -> Self {
        Self {
            known: charged.then(|| Box::new(body.scanner.members().clone())),
            scanner: body.upload.is_none().then(|| Scanner::clone(&body.scanner)),
            form: (body.upload.as_ref()).map(|upload| Box::new(upload.form.clone())),
            declared: body.declared,
            length: body.sent().len() as u64,
            limit: bounds.body,
            pace: Pace::new(bounds.client),
            ended: false,
            fault: None,
        }
    }

    /// All of a body that is passed on as it comes.
    #[must_use]
    pub fn unread(declared: Option<u64>, bounds: &Bounds) -> Self {
        Self {
            known: None,
            declared,
            scanner: None,
            form: None,
            length: 0,
            limit: bounds.body,
            pace: Pace::new(bounds.client),
            ended: false,
            fault: None,
        }
    }

    /// Whether the body has ended.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// How long the client may take for the next piece before [`Tail::keeps_pace`] must be asked.
    #[must_use]
    pub fn patience(&mut self) -> Duration {
        self.pace.left()
    }

    /// Whether the client is as fast as it must be.
    pub fn keeps_pace(&mut self) -> bool {
        let keeps = self.pace.turn();
        if !keeps {
            self.fault = Some(slow());
        }
        keeps
    }

    /// The client's time begins: until now, something else was waited for.
    pub fn wait(&mut self) {
        self.pace.restart();
    }

    /// What was wrong, if [`Tail::take`] or [`Tail::keeps_pace`] said so.
    pub fn take_fault(&mut self) -> Option<Rejection> {
        self.fault.take()
    }

    /// Looks at a piece before it is sent on (`None` is the end); false when it must not be.
    pub fn take(&mut self, piece: Option<&[u8]>) -> bool {
        match self.check(piece) {
            Ok(()) => true,
            Err(rejection) => {
                self.fault = Some(rejection);
                false
            }
        }
    }

    fn check(&mut self, piece: Option<&[u8]>) -> Result<(), Rejection> {
        let Some(piece) = piece else {
            self.ended = true;
            if let Some(form) = &self.form {
                return form.finish().map_err(form::flawed);
            }
            let finished = self.scanner.as_ref().map_or(Ok(()), Scanner::finish);
            return finished.map_err(|fault| malformed(&fault));
        };
        self.length += piece.len() as u64;
        if self.length > self.limit {
            return Err(too_large(self.limit));
        }
        if !self.pace.keep(piece.len() as u64) {
            return Err(slow());
        }
        if let Some(form) = &mut self.form {
            form.feed(piece).map_err(form::flawed)?;
            if self.declared == Some(self.length) {
                // What it ends with is not sent where that is no end: the upstream would have all that was announced.
                form.finish().map_err(form::flawed)?;
            }
            return Ok(());
        }
        let Some(scanner) = &mut self.scanner else {
            self.ended |= self.declared == Some(self.length);
            return Ok(());
        };
        let had_list = scanner.members().get(Member::Models).is_some();
        scanner.feed(piece).map_err(|fault| malformed(&fault))?;
        members::unambiguous(scanner.members())?;
        if let Some(known) = &self.known {
            members::costs_no_more(known, scanner.members())?;
        }
        if !had_list && scanner.members().get(Member::Models).is_some() {
            return Err(Rejection::new(
                Code::InvalidRequest,
                "In a body this large, `models` must come before the rest. Put `model` and `models` first.",
            ));
        }
        Ok(())
    }
}
