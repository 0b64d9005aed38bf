//! `cargo xtask demo`: what Bartizan does, as a transcript of real commands in a real
//! kernel.
//!
//! ```text
//!   steps ──► script ──► guest ──► lines with marks ──► transcript ──► verdict
//! ```
//!
//! One guest runs all steps. The transcript is printed as it comes, and each step is
//! compared with what it says it shows, so that the demo can't go stale unnoticed.

mod step;
mod steps;
mod transcript;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use crate::command::say;
use crate::paths;
use crate::programs::Programs;
use crate::setup::{self, Kernel, KernelLine, Package};
use crate::vm::{Image, Lines, Machine, Output};
use steps::STEPS;
use transcript::Transcript;

/// Until the guest counts as hanging.
const MINUTES: u64 = 20;
/// Files of the demo, found in the guest's working directory.
const FILES: [&str; 2] = ["policy.yaml", "steal.sh"];

/// Where to show it.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// The kernel to boot
    #[arg(long, value_enum, default_value_t = KernelLine::V6_12)]
    kernel: KernelLine,
}

impl Demo {
    /// Shows all steps; an error if one of them didn't do what it should.
    pub(crate) fn run(&self) -> Result<()> {
        setup::ensure(Package::ALL)?;
        let programs = Programs::build(&[])?;
        let kernel = Kernel::get(self.kernel)?;
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
        let mismatches = transcript.mismatches();
        if mismatches.is_empty() && outcome.status == 0 {
            println!(
                "\nAll {} commands did what they should, in {:.0} s.",
                STEPS.len(),
                start.elapsed().as_secs_f32()
            );
            return Ok(());
        }
        for mismatch in &mismatches {
            println!("\n{mismatch}");
        }
        let console = outcome
            .console
            .map(|console| format!("; the guest's console is {}", console.display()));
        bail!(
            "{} of {} commands did something else than they should{}",
            mismatches.len(),
            STEPS.len(),
            console.unwrap_or_default()
        )
    }
}
