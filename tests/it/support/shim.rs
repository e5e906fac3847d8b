//! What stands between the program and its C library: a clock that can be set, and names that nobody looks up. Compiled
//! with the C compiler that the program itself is built with.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// The time of day, as many seconds ahead as a file says, and look-ups that never end where they are to.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *ahead;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHIM_AHEAD");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *seen = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
    if (seen != MAP_FAILED) ahead = seen;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    if (!failed && ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += *ahead;
    return failed;
}

int gettimeofday(struct timeval *time, void *zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    (void)node, (void)service, (void)hints, (void)found;
    if (getenv("SHIM_SILENT")) for (;;) pause();
    return EAI_AGAIN;
}
"#;

/// The library, and the file that says how far ahead its clock is. Both go with the value.
pub struct Shim(TempDir);

impl Shim {
    /// Compiles it.
    ///
    /// # Panics
    /// When there is no C compiler, without which the program could not have been built either.
    pub fn build() -> Self {
        let shim = Self(tempfile::tempdir().expect("a folder"));
        let source = shim.0.path().join("shim.c");
        std::fs::write(&source, SOURCE).expect("a file");
        std::fs::write(shim.clock(), 0_i64.to_ne_bytes()).expect("a file");
        let compiled = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .args([&shim.library(), &source])
            .status();
        assert!(compiled.expect("a C compiler").success());
        shim
    }

    fn library(&self) -> PathBuf {
        self.0.path().join("shim.so")
    }

    fn clock(&self) -> PathBuf {
        self.0.path().join("ahead")
    }

    /// What a process is to have in its environment.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library().display().to_string()),
            ("SHIM_AHEAD", self.clock().display().to_string()),
        ]
    }

    /// Sets the clock so many seconds ahead of the real one, or behind it.
    pub fn set_ahead(&self, seconds: i64) {
        // In its place: the file is mapped.
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .open(self.clock())
            .expect("the file");
        file.seek(SeekFrom::Start(0)).expect("its beginning");
        file.write_all(&seconds.to_ne_bytes()).expect("written");
    }
}
