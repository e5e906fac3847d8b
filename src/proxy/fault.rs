//! Faults on demand, for tests: in builds with debug assertions, a request with the header
//! `Tollgate-Test-Panic: PHASE` panics in that phase. Release builds hold nothing of this.

use pingora_proxy::Session;

/// Panics when `session` asks for it and this build does such things.
#[cfg(debug_assertions)]
#[allow(clippy::panic, reason = "that is what it is for")]
pub fn injected(session: &Session, phase: &str) {
    let asked = session.req_header().headers.get("tollgate-test-panic");
    assert!(
        asked.is_none_or(|asked| asked.as_bytes() != phase.as_bytes()),
        "injected in {phase}"
    );
}

/// Does nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn injected(_session: &Session, _phase: &str) {}
