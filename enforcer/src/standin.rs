//! Until the compiler is there.
use bartizan_policy::rule_map::RuleMap;
/// Stand-in.
#[derive(Debug, thiserror::Error)]
#[error("no compiler yet")]
pub struct CompileError;
impl CompileError {
    /// Stand-in.
    pub fn reason(&self) -> &'static str {
        "NoCompiler"
    }
}
/// Stand-in.
pub fn compile(_: &RuleMap) -> Result<Vec<u8>, CompileError> {
    Ok(vec![0; 512])
}
