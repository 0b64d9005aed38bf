//! What of policies a node's kernel can't enforce, by the file that says what it has.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use bartizan_policy::kernel_features::{KernelFeatures, MAX_SIZE};
use bartizan_policy::link::alone;
use bartizan_policy::load::Diagnostic;
use bartizan_policy::policy::Policy;
use serde::Serialize;

/// What is said of a node with such a kernel.
#[derive(Serialize)]
pub(crate) struct Node {
    /// The file's name, as given.
    file: String,
    /// The kernel's release.
    kernel: String,
    /// Why such a node enforces nothing at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Rules that it can't enforce in full; none where it enforces nothing.
    pub(crate) unenforceable: Vec<Unenforceable>,
}

/// A rule, and what is missing for it.
#[derive(Serialize)]
pub(crate) struct Unenforceable {
    policy: String,
    rule: String,
    /// `FILE:LINE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    operations: Vec<&'static str>,
    hooks: Vec<&'static str>,
}

impl Node {
    /// What is missing on a kernel for some policies, by its file.
    pub(crate) fn read(path: &Path, policies: &[Policy]) -> Result<Self, Diagnostic> {
        let file = path.display().to_string();
        let features = features(path).map_err(|why| Diagnostic::of_file(&file, why))?;
        let (error, unenforceable) = match features.gaps() {
            Ok(gaps) => {
                let missing = policies.iter().flat_map(|policy| {
                    let rules = alone(policy).unwrap_or_default().rules.into_iter();
                    let missing = rules.enumerate().filter_map(|(number, rule)| {
                        let gap = gaps.of(&rule)?;
                        Some(Unenforceable {
                            policy: policy.info.reference(),
                            rule: rule.name,
                            place: place(policy, number),
                            operations: gap.operations().collect(),
                            hooks: gap.hooks,
                        })
                    });
                    missing.collect::<Vec<_>>()
                });
                (None, missing.collect())
            }
            Err(error) => (Some(error.to_string()), Vec::new()),
        };
        Ok(Self {
            file,
            kernel: features.kernel,
            error,
            unenforceable,
        })
    }

    /// Whether it enforces everything.
    pub(crate) fn is_enough(&self) -> bool {
        self.error.is_none() && self.unenforceable.is_empty()
    }

    /// A line for the kernel if it enforces nothing, else for each rule.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let Self { file, kernel, .. } = self;
        let nothing = self.error.iter().map(move |error| {
            format!("{file}: a node with the kernel {kernel} enforces nothing: {error}")
        });
        let rules = self.unenforceable.iter().map(move |rule| {
            let place = rule.place.as_ref().map(|place| format!("{place}: "));
            format!(
                "{}not enforceable in full on the kernel {kernel} ({file}): {} of rule {} of {}: \
                 it has no hook {}",
                place.unwrap_or_default(),
                rule.operations.join(", "),
                rule.rule,
                rule.policy,
                rule.hooks.join(", ")
            )
        });
        nothing.chain(rules)
    }
}

fn place(policy: &Policy, rule: usize) -> Option<String> {
    let origin = policy.origin.as_ref()?;
    let line = origin.rules.get(rule).copied().unwrap_or(origin.line);
    Some(format!("{}:{line}", origin.file))
}

/// Reads a file, as far as one can be that says what a kernel has.
fn features(path: &Path) -> Result<KernelFeatures, String> {
    let read = || {
        let mut text = Vec::new();
        File::open(path)?
            .take(MAX_SIZE as u64 + 1)
            .read_to_end(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    let text = read().map_err(|error| format!("can't be read: {error}"))?;
    KernelFeatures::parse(&text).map_err(|error| error.to_string())
}
