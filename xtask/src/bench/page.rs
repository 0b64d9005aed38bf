//! The section of `docs/performance.md` that a run writes.

use std::fs;

use anyhow::{Context as _, Result};

use super::compiled::Compiled;
use super::readings::Readings;
use super::{account, costs, goals, plot};
use crate::paths;

/// The page, from the workspace's root.
pub(super) const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- Written by `cargo xtask bench` from here -->\n";
const END: &str = "<!-- to here -->\n";

/// What was measured on the kernel of that release.
pub(super) type Kernels = [(String, Readings)];

/// Replaces the page's section.
pub(super) fn write(section: &str) -> Result<()> {
    let path = paths::root().join(PAGE);
    let text = fs::read_to_string(&path).with_context(|| format!("can't read {PAGE}"))?;
    let text = replaced(&text, section).with_context(|| format!("{PAGE} has no markers"))?;
    fs::write(path, text).with_context(|| format!("can't write {PAGE}"))
}

fn replaced(text: &str, section: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{section}\n{END}{after}"))
}

/// The section: what was run, the goals, and all costs by kernel.
pub(super) fn section(command: &str, kernels: &Kernels, compiled: &Compiled) -> Result<String> {
    let mut text = format!("`{command}`:\n\n");
    goals::goals(&mut text, kernels, compiled)?;
    text.push_str(plot::REFERENCE);
    account::account(&mut text, kernels)?;
    for (release, readings) in kernels {
        costs::costs(&mut text, release, readings)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_replaces_what_is_between_the_markers() {
        let page = format!("# Title\n{BEGIN}old\n{END}tail\n");
        let new = replaced(&page, "new").unwrap();
        assert_eq!(new, format!("# Title\n{BEGIN}\nnew\n{END}tail\n"));
        assert_eq!(replaced(&new, "new").unwrap(), new);
        assert_eq!(replaced("# Title\n", "new"), None);
    }

    #[test]
    fn the_page_has_the_markers() {
        let page = fs::read_to_string(paths::root().join(PAGE)).unwrap();
        assert!(replaced(&page, "new").is_some());
    }
}
