//! The `tollgate` binary: hands the command line to the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Jemalloc looks for this name at its start.
#[expect(unsafe_code, reason = "a name is given to a constant")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static MALLOC_CONF: &std::ffi::CStr = tollgate::server::ALLOCATOR;

fn main() -> ExitCode {
    tollgate::cli::run()
}
