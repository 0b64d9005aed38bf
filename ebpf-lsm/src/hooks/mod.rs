//! One program per hook. Each finds out who asks for what, and returns 0 or an errno.

mod capability;
mod exec;
mod file;
mod map;
mod name;
pub mod restrict;
mod socket;
mod unix;
