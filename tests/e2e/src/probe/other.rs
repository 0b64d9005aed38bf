//! Another process beside the one that makes an attempt.

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use bartizan_samples::SERVE;

use super::Failure;

/// Another process of the container that waits until it is killed.
pub(super) struct Other(Child);

impl Other {
    /// Starts it, prepared in some way.
    pub(super) fn start(prepare: impl FnOnce(&mut Command)) -> Result<Self, Failure> {
        let program = std::env::current_exe();
        let program = program.map_err(|error| Failure::Setup(error.to_string()))?;
        let mut command = Command::new(program);
        command.args(SERVE).stdin(Stdio::piped());
        prepare(&mut command);
        let child = command.stdout(Stdio::piped()).spawn();
        let failed = |error: std::io::Error| Failure::Setup(format!("start another: {error}"));
        let mut other = Self(child.map_err(failed)?);
        // Until it has said that it is ready it may still have this process's memory, which
        // is nobody else's.
        if let Some(output) = &mut other.0.stdout {
            output.read_exact(&mut [0; 6]).map_err(failed)?;
        }
        Ok(other)
    }

    pub(super) fn id(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // A tracer may have stopped it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
