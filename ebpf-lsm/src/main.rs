//! The BPF-LSM programs: decide every judged operation from maps alone.
//!
//! ```text
//!   hook ─► identity (cgroup -> binding, table) ─► walk (abi) ─► decide (abi)
//!                 │ unmanaged: leave                               │
//!                 ▼                                                ▼
//!               allow                          allow, or report (ring, counters)
//! ```
//!
//! **Architecture invariant:** no per-CPU scratch (preemption overwrites it), and no
//! failure on the way turns a deny into an allow: lose the event, never the verdict.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod cgroup;
mod credentials;
mod dentry;
mod hooks;
mod identity;
mod judge;
mod kernel;
mod leaving;
mod lineage;
mod maps;
mod pods;
mod repeat;
mod report;
mod stacked;
mod subject;
mod table;
mod walks;

/// LSM programs must be GPL-compatible; the crate is Apache-2.0 OR GPL-2.0-only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // No panic path survives the verifier: it has no way to leave a program.
    loop {}
}
