//! Work beside requests that takes a while, in steps.
//!
//! The kernel's scheduler lets a thread run for its whole slice (some milliseconds since Linux 6.6, "run to parity")
//! before one that has just become ready gets the core, whatever their nice values. Where the gateway has one core, a
//! reload of half a millisecond would make every request of that time wait for its end. Between steps it offers its core to
//! whoever waits: with nobody waiting that is a system call, with requests waiting they go first.

/// The end of a step: whoever waits for this core has it first.
pub fn give_way() {
    std::thread::yield_now();
}
