//! `cargo xtask vm`: tries a policy in a real kernel without touching this machine.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use crate::command::say;
use crate::programs::Programs;
use crate::setup::{self, Kernel, KernelLine, Package};
use crate::vm::{Image, Machine, Output};

/// Where `--root` is in the guest.
const ROOT: &str = "/srv/root";
/// Boots are quick, but what the user runs may not be.
const MINUTES: u64 = 30;

/// A command, and the policies that it runs under.
#[derive(Args, Debug)]
pub(crate) struct Trial {
    /// The kernel to boot
    #[arg(long, value_enum, default_value_t = KernelLine::V6_12)]
    kernel: KernelLine,
    /// A file or folder of policies (several are possible)
    #[arg(short = 'f', long = "file", value_name = "POLICIES", required = true)]
    policies: Vec<PathBuf>,
    /// A label of the workload (several are possible)
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// The workload's container name
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// The workload's namespace [default: that of each policy]
    #[arg(long, value_name = "NS")]
    namespace: Option<String>,
    /// A folder to run the command in as its root [default: busybox]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Show the enforcer's own log and the guest's progress
    #[arg(long, short = 'v')]
    verbose: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Trial {
    /// Runs the command, prints its output and then its denials; returns its status.
    pub(crate) fn run(&self) -> Result<u8> {
        setup::ensure(Package::ALL)?;
        let programs = Programs::build(&[])?;
        let kernel = Kernel::get(self.kernel)?;
        let mut image = Image::new(&kernel)?;
        programs.install(&mut image)?;
        let mut enforcer = vec!["bartizan-enforcer".to_owned(), "run".to_owned()];
        enforcer.extend(["--denials".to_owned(), "/run/denials".to_owned()]);
        for (at, policies) in self.policies.iter().enumerate() {
            enforcer.extend(["-f".to_owned(), pack(policies, at, &mut image)?]);
        }
        for label in &self.labels {
            enforcer.extend(["--label".to_owned(), label.clone()]);
        }
        for (flag, value) in [
            ("--container", &self.container),
            ("--namespace", &self.namespace),
        ] {
            enforcer.extend(
                value
                    .iter()
                    .flat_map(|value| [flag.to_owned(), value.clone()]),
            );
        }
        if let Some(root) = &self.root {
            say(format!("packing {}", root.display()));
            image.host(root, ROOT)?;
            enforcer.extend(["--root".to_owned(), ROOT.to_owned()]);
        }
        enforcer.push("--".to_owned());
        enforcer.extend(self.command.iter().cloned());
        let mut machine = Machine::new(kernel);
        machine.time_limit = std::time::Duration::from_mins(MINUTES);
        say(format!("booting {}", machine.kernel.release));
        let outcome = machine.run(image, &self.script(&enforcer), Output::inherit())?;
        print!("{}", String::from_utf8_lossy(&outcome.report));
        if self.verbose {
            say(format!(
                "the guest was up after {:.1} s",
                outcome.booted_in.as_secs_f32()
            ));
        }
        Ok(outcome.status)
    }

    fn script(&self, enforcer: &[String]) -> String {
        let log = if self.verbose { "info" } else { "warn" };
        let words: Vec<_> = enforcer.iter().map(|word| quote(word)).collect();
        format!(
            "RUST_LOG={log} {}\nstatus=$?\n[ -e /run/denials ] && cat /run/denials >&3\nexit $status\n",
            words.join(" ")
        )
    }
}

/// Packs policies so that the guest knows them under the name that the user gave, which
/// messages then show; paths that lead out of here get a folder of their own.
fn pack(policies: &Path, at: usize, image: &mut Image) -> Result<String> {
    let plain = policies
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let name = if plain {
        policies.to_string_lossy().into_owned()
    } else {
        let last = policies.canonicalize().ok();
        let last = last.as_deref().and_then(Path::file_name);
        let last = last.with_context(|| format!("{} is no file", policies.display()))?;
        format!("policies-{at}/{}", last.to_string_lossy())
    };
    image.host(policies, &format!("/root/{name}"))?;
    Ok(name)
}

/// A word as a shell takes it literally.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_are_literal() {
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
