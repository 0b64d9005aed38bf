//! What the kernel programs and user space agree on.
//!
//! ```text
//!   policy::compile ──► table::Table (1 MiB of bytes) ──► kernel map
//!                              │
//!     walk, address  (the same code in the kernel, in tests and in `explain`)
//!                              │
//!                       verdict::Decision ──► event::Event ──► ring buffer
//! ```
//!
//! **Architecture invariant:** nothing here allocates, panics or knows where a
//! table's or a name's bytes live; both are reached through traits.
#![no_std]
#![expect(
    clippy::inline_always,
    reason = "a BPF call costs, and the verifier loses bounds across it"
)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod address;
pub mod automaton;
pub mod bits;
pub mod containers;
pub mod event;
pub mod fields;
pub mod handover;
pub mod hooks;
pub mod limits;
pub mod literal;
pub mod maps;
pub mod op;
pub mod repeat;
pub mod rows;
pub mod stack;
pub mod table;
pub mod verdict;
pub mod walk;
