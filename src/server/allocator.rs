//! How the allocator of a process that serves is set up.

use std::ffi::CStr;

/// The settings of jemalloc, as it reads them; the binary exports them under the name that it looks for at its start.
///
/// Each thread keeps freed blocks of up to 256 KiB (by default 32 KiB) for its next request. Pingora takes one of 64 KiB to read
/// an answer, and bodies take larger ones; from what all threads share they cost a lock and a search each. What a thread has
/// not used again it gives back one size after another, each time that it has been given a MiB: by default each 64 KiB,
/// which is every request.
pub const ALLOCATOR: &CStr = c"lg_tcache_max:18,tcache_gc_incr_bytes:1048576";
