//! What a policy means: from YAML text to tables, and from an operation to a verdict.
//!
//! ```text
//!   text ─► load ─► Policy ─► link ─► RuleMap ─► compile ─► table ─► evaluate
//!                                        └────► reference (the slow, obvious oracle)
//! ```
//!
//! **Architecture invariant:** nothing here reads a clock, a file, a cluster or a
//! kernel. The CLI, the enforcer, the operator and the tests all call this code.

pub mod operation;
pub mod pattern;
pub mod rule_map;
