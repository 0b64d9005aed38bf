//! The engine alone: one guest runs all steps, without Kubernetes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::conclude;
use super::local_steps::STEPS;
use super::transcript::{self, Transcript};
use crate::command::say;
use crate::paths;
use crate::programs::Programs;
use crate::setup::{self, Kernel, KernelLine, Package};
use crate::vm::{Image, Lines, Machine, Output};

/// Until the guest counts as hanging.
const MINUTES: u64 = 20;
/// Files of the demo, found in the guest's working directory.
const FILES: [&str; 2] = ["policy.yaml", "steal.sh"];

/// Shows all steps; an error if one of them didn't do what it should.
pub(super) fn run(kernel: KernelLine) -> Result<()> {
    setup::ensure(Package::ALL)?;
    let programs = Programs::build(&[])?;
    let kernel = Kernel::get(kernel)?;
    let start = Instant::now();
    let mut image = Image::new(&kernel)?;
    programs.install(&mut image)?;
    for name in FILES {
        let file = paths::root().join("xtask/demo").join(name);
        image.host(&file, &format!("/root/{name}"))?;
    }
    let mut machine = Machine::new(kernel);
    machine.time_limit = Duration::from_mins(MINUTES);
    say(format!("booting {}", machine.kernel.release));
    let transcript = Arc::new(Mutex::new(Transcript::new(STEPS)));
    let seen = Arc::clone(&transcript);
    let each = move |line: &str| {
        let text = seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .line(line);
        if let Some(text) = text {
            println!("{text}");
        }
    };
    let output = Output {
        stdout: Box::new(Lines::new(each)),
        stderr: Box::new(std::io::stderr()),
    };
    let outcome = machine.run(image, &transcript::script(STEPS), output)?;
    let transcript = transcript.lock().unwrap_or_else(PoisonError::into_inner);
    let console = outcome.console.map(|path| path.display().to_string());
    conclude(&transcript, start.elapsed(), console.as_deref())
}
