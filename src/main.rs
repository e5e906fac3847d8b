//! The `tollgate` binary: hands the command line to the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How jemalloc is set up, which looks for this name at its start: each thread keeps freed blocks of up to 256 KiB (by default
/// 32 KiB) for its next request. Pingora takes one of 64 KiB to read an answer, and bodies take larger ones; from what all
/// threads share they cost a lock and a search each.
#[expect(unsafe_code, reason = "a name is given to a constant")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &std::ffi::CStr = c"lg_tcache_max:18";

fn main() -> ExitCode {
    tollgate::cli::run()
}
