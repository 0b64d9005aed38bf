//! From decoded events to JSON lines.
//!
//! ```text
//!   Denial ─► Record (names) ─► Aggregator (one line per second and cause) ─► Sink
//! ```
//!
//! Nothing behind this point may block or grow: the aggregator has a bounded number of
//! windows, the sink a bounded queue, and what doesn't fit is counted.

mod aggregate;
mod line;
mod sink;
mod text;

pub use aggregate::Aggregator;
pub(crate) use line::mode_name;
#[cfg(test)]
pub(crate) use line::tests;
pub use line::{Line, Record, Subject};
pub use sink::{Sink, Totals};
pub use text::{path_text, target_text};
