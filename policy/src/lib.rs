//! What a policy means: from YAML text to tables, and from an operation to a verdict.
//!
//! ```text
//!   text ─► load ─► Policy ─► link ─► RuleMap ─► compile ─► table ─► evaluate
//!           (validate)                   └────► reference (the slow, obvious oracle)
//! ```
//!
//! **Architecture invariant:** nothing here reads a clock, a cluster or a kernel, and
//! only [`load::Source`] reads files. The CLI, the enforcer, the operator and the
//! tests all call this code.

pub mod capability;
pub mod combination;
pub mod compile;
pub mod enforceable;
pub mod evaluate;
mod excerpt;
pub mod explain;
pub mod glob;
pub mod kernel_features;
pub mod link;
pub mod lint;
pub mod load;
mod nearest;
pub mod operation;
pub mod pattern;
pub mod policy;
pub mod printable;
pub mod published;
pub mod reference;
pub mod request;
mod restriction;
pub mod rule_map;
pub mod selector;
pub mod socket;
pub mod strictest;
pub mod unix;
pub mod validate;
