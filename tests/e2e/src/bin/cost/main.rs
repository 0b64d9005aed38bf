//! What an operation costs, in nanoseconds of the guest it runs in (`cargo xtask bench`).
//!
//! ```text
//! cost settle OPERATION            waits until the kernel has settled after its boot
//! cost measure LABEL OPERATION...  each, for instance `open:/etc/hosts` or `connect`
//! cost empty HOOK COMMAND...       the same with a program on the hook that does nothing
//! cost denied FILE|ADDRESS         whether that is denied; nothing is measured
//! cost programs                    loaded LSM programs, and what the verifier spent on each
//! cost compile LABEL FILE          on the host: from a policy file to tables
//! ```
//!
//! Results are JSON lines. On a CPU that counts instructions (`-icount shift=0`) a
//! nanosecond is an instruction, so results differ only by what the kernel does.
#![expect(clippy::print_stdout, reason = "results go to standard output")]
#![expect(clippy::print_stderr, reason = "misuse is reported on standard error")]

#[path = "../../attributes.rs"]
mod attributes;
mod bpf;
mod clock;
mod compile;
mod operation;
mod settle;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cost {}: {error:#}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["settle", what] => settle::settle(what),
        ["measure", label, operations @ ..] => {
            for what in operations {
                let cost = operation::measure(what)?;
                println!("{}", json!({ "label": label, "target": what, "ns": cost }));
            }
            Ok(())
        }
        ["empty", hook, rest @ ..] => {
            let _attached = bpf::attach_empty(hook)?;
            run(rest)
        }
        ["denied", target] if operation::is_denied(target)? => Ok(()),
        ["denied", _] => bail!("it is allowed"),
        ["programs"] => {
            for (hook, verified) in bpf::lsm_programs().context("can't list the programs")? {
                println!("{}", json!({ "hook": hook, "verified": verified }));
            }
            Ok(())
        }
        ["compile", label, file] => {
            println!("{}", compile::measure(label, Path::new(file))?);
            Ok(())
        }
        _ => bail!("no such measurement; the program's source lists them"),
    }
}
