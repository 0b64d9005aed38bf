//! The YAML in `generated/`, and the reference in `docs/`, are what the types say.

mod reference;

use std::path::Path;
use std::{env, fs};

use bartizan_crds::definitions;

const HEADER: &str = "# Written by `cargo xtask generate` from crds/src; changes here get lost.\n";

/// Compares, or with `BARTIZAN_GENERATE` in the environment writes.
#[track_caller]
fn check(file: &Path, text: &str) {
    if env::var_os("BARTIZAN_GENERATE").is_some() {
        fs::write(file, text).expect("generated files can be written");
    }
    let there = fs::read_to_string(file).unwrap_or_default();
    assert!(
        there == text,
        "{} is out of date: run `cargo xtask generate`",
        file.display()
    );
}

#[test]
fn reference_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    check(&root.join("../docs/api-reference.md"), &reference::page());
}

#[test]
fn generated_yaml_is_up_to_date() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    let mut names = Vec::new();
    for definition in definitions() {
        let name = format!("{}.yaml", definition.spec.names.plural);
        let yaml = format!("{HEADER}{}", serde_saphyr::to_string(&definition).unwrap());
        let file = dir.join(&name);
        names.push(name);
        check(&file, &yaml);
    }
    names.sort();
    let mut there: Vec<String> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(there, names, "files of no kind are in {}", dir.display());
}
