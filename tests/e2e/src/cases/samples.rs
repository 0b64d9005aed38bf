//! Every sample policy's table of cases, done for real.
//!
//! The reference and the compiled tables have passed the same tables on the host
//! (`policy/tests/samples.rs`).

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use bartizan_samples::{Step, World, perform, table, unreported};

use crate::case::{Case, Context};
use crate::container::{Container, Identity, Root};
use crate::stage;

macro_rules! samples {
    ($($name:literal),* $(,)?) => {
        const NAMES: &[&str] = &[$($name),*];

        /// A case for each sample, and one that none is forgotten.
        pub(super) fn cases() -> Vec<Case> {
            let mut cases = vec![Case::new("samples/all_are_here", all_are_here)];
            $({
                let mut case = Case::new(concat!("samples/", $name), |context| run(context, $name));
                case.time_limit = Duration::from_mins(5);
                cases.push(case);
            })*
            cases
        }
    };
}

samples![
    "audit-trail",
    "database",
    "drop-capabilities",
    "dry-run",
    "egress-by-cidr",
    "kernel-surface",
    "no-back-doors",
    "no-dropped-programs",
    "no-package-managers",
    "no-raw-sockets",
    "read-only-etc",
    "service-account-token",
    "shell-less",
    "web-server",
];

fn all_are_here(context: &Context) -> Result<()> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(&context.samples)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        found.extend(name.strip_suffix(".yaml").map(str::to_owned));
    }
    let listed: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    ensure!(
        found == listed,
        "the samples are {found:?}, the cases {listed:?}"
    );
    Ok(())
}

/// A container in this guest.
struct Here {
    root: Root,
    container: Container,
}

impl World for Here {
    fn before(&mut self, step: &Step) -> Result<()> {
        stage::before(&self.root, step)
    }

    fn perform(&mut self, step: &Step) -> Result<i32> {
        self.container.perform(&step.caller, &step.words())
    }

    fn after(&mut self, step: &Step) -> Result<()> {
        stage::after(&self.root, step)
    }
}

fn run(context: &Context, name: &str) -> Result<()> {
    let text = fs::read_to_string(context.samples.join(format!("cases/{name}.txt")))?;
    let table = table::parse(&text)?;
    let steps = Step::all(&table)?;
    let root = Root::new(context.scratch.join("root"))?;
    let peers = stage::populate(&root, &steps)?;
    let identity = Identity {
        labels: table.labels.clone(),
        container: table.container.clone(),
    };
    let policies = context.samples.join(format!("{name}.yaml"));
    let container = Container::start(context, &policies, &identity, &root, &table.caller)?;
    let mut here = Here { root, container };
    let mut mistakes = perform(&mut here, &steps)?;
    drop(peers);
    mistakes.extend(unreported(&steps, &here.container.finish()?));
    ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    Ok(())
}
