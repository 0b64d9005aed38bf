//! Virtual machines: a Debian kernel under QEMU with an image that is made for one run.
//!
//! ```text
//!  Image (files, modules) ──► cpio ──► QEMU ── ttyS0 ──► console log (kernel)
//!                                        ├── stdout, stderr ──► as they come
//!                                        ├── report ──► bytes, for what the script writes to fd 3
//!                                        └── control ──► "up", "exit STATUS"
//! ```
//! The channels are virtio ports on sockets in a folder of the run's own, so guests run
//! side by side and no terminal mangles a byte. There is no network and no disk.

mod channel;
mod cpio;
mod folder;
mod image;
mod lines;
mod machine;
mod modules;
mod process;

pub(crate) use image::Image;
pub(crate) use lines::Lines;
pub(crate) use machine::{Machine, Output, Timing};
