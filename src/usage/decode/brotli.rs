//! Brotli, a bounded step at a time. The crate's own writer writes all that a piece decodes to before it returns, which may
//! be gigabytes, and never returns when what it writes to takes no more.

use std::io;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::Sink;

/// Bytes that come of one step at the most.
const STEP: usize = 16 * 1024;

/// A decoder, and what its last step came to.
pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    sink: Sink,
    /// Whether there is more of what was taken in.
    more: bool,
    ended: bool,
}

impl Default for Brotli {
    fn default() -> Self {
        let alloc = StandardAlloc::default;
        Self {
            state: BrotliState::new_strict(alloc(), alloc(), alloc()),
            sink: Sink::default(),
            more: false,
            ended: false,
        }
    }
}

impl Brotli {
    pub(super) fn sink(&mut self) -> &mut Sink {
        &mut self.sink
    }

    /// Takes some of the bytes in; says how many. Of those behind the end it takes none.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.step(bytes)
    }

    /// Goes on with what was taken in; true when there is still more of it.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        if self.more {
            self.step(&[])?;
        }
        Ok(self.more)
    }

    fn step(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let (mut left, mut taken) = (bytes.len(), 0);
        let (mut room, mut made, mut total) = (STEP, 0, 0);
        self.sink.0.resize(STEP, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut taken,
            bytes,
            &mut room,
            &mut made,
            &mut self.sink.0,
            &mut total,
            &mut self.state,
        );
        self.sink.0.truncate(made);
        self.more = matches!(result, BrotliResult::NeedsMoreOutput);
        match result {
            BrotliResult::ResultFailure => return Err(io::ErrorKind::InvalidData.into()),
            BrotliResult::ResultSuccess => self.ended = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(taken)
    }
}
