//! An error answer that came compressed, gathered to its end: whether it tells the credential shows only in its text. If it
//! does not, it goes on as it came; if it does, its text goes on instead, with the credential written over.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;

use super::Masker;
use crate::credentials::Key;
use crate::usage::{Coding, Decoder};

/// Bytes of a compressed error answer that are gathered, and bytes of text that are looked at. Those of providers have some
/// hundreds.
const GATHERED_MAX: usize = 64 * 1024;
const TEXT_MAX: usize = 1 << 20;

/// The answer, as far as it has come.
pub struct Gathered {
    coding: Coding,
    key: Arc<Key>,
    tasks: Vec<HttpTask>,
    length: usize,
}

/// What an answer came to.
pub struct Told {
    /// What goes to the client.
    pub tasks: Vec<HttpTask>,
    /// Whether that is text in place of what was compressed.
    pub is_text: bool,
}

impl Gathered {
    /// Nothing has come yet of an answer in this coding.
    pub fn new(coding: Coding, key: &Arc<Key>) -> Self {
        Self {
            coding,
            key: Arc::clone(key),
            tasks: Vec::new(),
            length: 0,
        }
    }

    /// Takes more of it in; gives it back when it is whole, or more than is gathered.
    pub fn take(&mut self, tasks: Vec<HttpTask>) -> Option<Told> {
        self.length += tasks.iter().filter_map(body).map(Bytes::len).sum::<usize>();
        self.tasks.extend(tasks);
        let ends = self.tasks.last().is_some_and(HttpTask::is_end);
        (ends || self.length > GATHERED_MAX).then(|| self.tell())
    }

    fn tell(&mut self) -> Told {
        let tasks = std::mem::take(&mut self.tasks);
        match self.masked(&tasks) {
            Some(text) => Told {
                tasks: with_text(tasks, text),
                is_text: true,
            },
            None => Told {
                tasks,
                is_text: false,
            },
        }
    }

    /// The text with the credential written over, if it is there.
    fn masked(&self, tasks: &[HttpTask]) -> Option<Bytes> {
        let mut decoder = Decoder::new(self.coding);
        let mut text = Vec::new();
        for piece in tasks.iter().filter_map(body) {
            decoder.feed(piece, &mut |piece| {
                let room = TEXT_MAX - text.len();
                text.extend_from_slice(&piece[..piece.len().min(room)]);
                text.len() < TEXT_MAX
            });
        }
        let mut masker = Masker::new(&self.key)?;
        let mut masked = masker.take(&text).to_vec();
        masked.extend_from_slice(&masker.finish());
        masker.has_found().then(|| Bytes::from(masked))
    }
}

fn body(task: &HttpTask) -> Option<&Bytes> {
    match task {
        HttpTask::Body(data, _) => data.as_ref(),
        _ => None,
    }
}

/// The tasks with this text for a body. What an answer has beyond what was gathered does not go on.
fn with_text(tasks: Vec<HttpTask>, text: Bytes) -> Vec<HttpTask> {
    let mut told = Vec::with_capacity(3);
    let mut failed = None;
    for task in tasks {
        match task {
            HttpTask::Header(mut header, _) => {
                no_longer_coded(&mut header, text.len());
                told.push(HttpTask::Header(header, false));
            }
            HttpTask::Failed(error) => failed = Some(HttpTask::Failed(error)),
            _ => {}
        }
    }
    let ends = failed.is_none();
    told.push(HttpTask::Body(Some(text), ends));
    told.extend(failed);
    told
}

/// Says that the body is plain text of this length, where a length is said.
pub fn no_longer_coded(header: &mut ResponseHeader, length: usize) {
    header.remove_header(&CONTENT_ENCODING);
    if !header.headers.contains_key(TRANSFER_ENCODING) {
        // No length is one that Pingora can write.
        let _ = header.insert_header(CONTENT_LENGTH, length);
    }
}
