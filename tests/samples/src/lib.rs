//! The sample policies' tables of cases (`config/samples/cases`), for tests at every level.
//!
//! ```text
//! text ─► Table ──┬─► reference, compiled tables                (policy/tests/samples.rs)
//!                 └─► Step ─► World: a container in a guest     (tests/e2e)
//!                                    a pod of a real cluster    (tests/cluster)
//! ```
//! Where operations are really done, the kernel's answer is an errno, and who decided is
//! what the denial log says.

mod agent;
mod denial;
mod step;
pub mod table;
mod world;

pub use agent::{Agent, SERVE};
pub use denial::Denial;
pub use step::Step;
pub use table::Table;
pub use world::{World, perform, unreported};
