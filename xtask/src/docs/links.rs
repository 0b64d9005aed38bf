//! Links between our pages lead somewhere, down to the heading.

use std::fs;
use std::path::{Path, PathBuf};

use super::files;
use crate::paths;

/// All pages.
fn pages() -> Vec<PathBuf> {
    let mut pages = files("docs", "md");
    let root = fs::read_dir(paths::root()).unwrap();
    let root = root.map(|entry| entry.unwrap().path());
    pages.extend(root.filter(|path| path.extension().is_some_and(|own| own == "md")));
    pages.extend(files("config", "md"));
    pages.push(paths::root().join("fuzz/README.md"));
    pages
}

/// Text outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    })
}

/// Targets of `[text](target)`.
fn targets(text: &str) -> Vec<&str> {
    let parts = prose(text).flat_map(|line| line.split("](").skip(1));
    parts
        .filter_map(|part| Some(part.split_once(')')?.0))
        .collect()
}

/// The headings of a page as links name them.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

fn check(page: &Path, target: &str) {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => page.to_owned(),
        file => page.parent().unwrap().join(file),
    };
    let place = page.strip_prefix(paths::root()).unwrap().display();
    assert!(path.exists(), "{place}: {target} is not there");
    if !anchor.is_empty() {
        let known = anchors(&fs::read_to_string(&path).unwrap());
        let is_known = known.iter().any(|own| own == anchor);
        assert!(is_known, "{place}: {target} is no heading");
    }
}

#[test]
fn links_lead_to_pages_and_headings() {
    let mut checked = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let own = targets(&text).into_iter();
        for target in own.filter(|target| !target.contains("://")) {
            check(&page, target);
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked} links were found");
}

#[test]
fn the_index_has_every_page() {
    let index = super::read("docs/README.md");
    for page in files("docs", "md") {
        let name = page.file_name().unwrap().to_str().unwrap();
        let is_there = name == "README.md" || index.contains(&format!("({name})"));
        assert!(is_there, "docs/README.md doesn't link to {name}");
    }
}

#[test]
fn headings_become_anchors_as_forges_make_them() {
    let text = "# A `b` c\n```\n# no\n```\n### Of a container, in a PodEnforcement\n";
    assert_eq!(
        anchors(text),
        ["a-b-c", "of-a-container-in-a-podenforcement"]
    );
    assert_eq!(targets("[a](b.md#c), [d](e)\n"), ["b.md#c", "e"]);
}
