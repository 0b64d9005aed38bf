//! What a node's kernel has, as a file: written on the node, read wherever policies are
//! checked.
//!
//! The file names everything by the kernel's own words and knows nothing of our list of
//! hooks, so that a version with another list judges by the same file.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::enforceable::{Gaps, Unfit};

/// Says what the file is, and how it is to be read.
const FORMAT: &str = "bartizan.dev/kernel-features/v1";
/// The largest file that is read, in bytes: a kernel has some 300 hooks.
pub const MAX_SIZE: usize = 1 << 20;

/// What a kernel has. Fields that a later version adds are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelFeatures {
    format: String,
    /// The kernel's release, as `uname -r` says it.
    pub kernel: String,
    /// The machine, as `uname -m` says it.
    pub machine: String,
    /// The active security modules, in their order; left out where they can't be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_modules: Option<Vec<String>>,
    /// The kernel's functions for BPF-LSM programs, `bpf_lsm_` taken off: the hooks to which
    /// programs can be attached, and a few that are none.
    pub hooks: BTreeSet<String>,
}

/// Why a file doesn't say what a kernel has.
#[derive(Debug, thiserror::Error)]
pub enum FeaturesError {
    /// Too long.
    #[error("it has {0} bytes, which no kernel's features come to")]
    TooLarge(usize),
    /// Not JSON, or without a field.
    #[error(
        "it doesn't say what a kernel has: make it with `bartizan-enforcer kernel-features` on \
         a node: {0}"
    )]
    Malformed(serde_json::Error),
    /// Of a version that has another format.
    #[error(
        "its format is `{0}`, and this version reads `{FORMAT}`: make it with a \
         `bartizan-enforcer` of the same version"
    )]
    Format(String),
}

/// Why a node with such a kernel enforces nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotEnforce {
    /// BPF isn't among the active security modules.
    #[error("`bpf` is not among its active security modules (`{0}`)")]
    NoBpf(String),
    /// A hook is missing that every node must have.
    #[error(transparent)]
    Unfit(Unfit),
}

impl KernelFeatures {
    /// Those of a kernel.
    pub fn new(
        kernel: String,
        machine: String,
        security_modules: Option<Vec<String>>,
        hooks: BTreeSet<String>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            kernel,
            machine,
            security_modules,
            hooks,
        }
    }

    /// Reads a file's content.
    pub fn parse(text: &[u8]) -> Result<Self, FeaturesError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        if text.len() > MAX_SIZE {
            return Err(FeaturesError::TooLarge(text.len()));
        }
        // The format first: in another one, other fields would be missed.
        let head: Head = serde_json::from_slice(text).map_err(FeaturesError::Malformed)?;
        if head.format != FORMAT {
            return Err(FeaturesError::Format(head.format));
        }
        serde_json::from_slice(text).map_err(FeaturesError::Malformed)
    }

    /// The file's content: the same for the same kernel, byte by byte.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string_pretty(self);
        json.expect("texts and lists of texts are JSON") + "\n"
    }

    /// What can't be enforced on a node with this kernel.
    pub fn gaps(&self) -> Result<Gaps, CannotEnforce> {
        let modules = self.security_modules.as_deref();
        if let Some(modules) = modules.filter(|all| all.iter().all(|module| module != "bpf")) {
            return Err(CannotEnforce::NoBpf(modules.join(",")));
        }
        Gaps::new(|hook| self.hooks.contains(hook)).map_err(CannotEnforce::Unfit)
    }
}

#[cfg(test)]
mod tests {
    use bartizan_abi::hooks::HOOKS;
    use proptest::prelude::*;

    use super::*;

    fn features(without: &[&str], modules: Option<&[&str]>) -> KernelFeatures {
        let hooks = HOOKS.iter().map(|hook| hook.name.to_owned());
        KernelFeatures::new(
            "6.12.1-test".to_owned(),
            "x86_64".to_owned(),
            modules.map(|all| all.iter().map(|one| (*one).to_owned()).collect()),
            hooks
                .filter(|hook| !without.contains(&hook.as_str()))
                .collect(),
        )
    }

    #[test]
    fn a_file_has_documented_fields() {
        let text = KernelFeatures {
            hooks: ["file_open".to_owned()].into(),
            ..features(&[], Some(&["capability", "bpf"]))
        };
        assert_eq!(
            text.to_json(),
            "{\n  \"format\": \"bartizan.dev/kernel-features/v1\",\n  \"kernel\": \
             \"6.12.1-test\",\n  \"machine\": \"x86_64\",\n  \"securityModules\": [\n    \
             \"capability\",\n    \"bpf\"\n  ],\n  \"hooks\": [\n    \"file_open\"\n  ]\n}\n"
        );
    }

    #[test]
    fn what_a_later_version_adds_is_ignored() {
        let text = features(&[], None).to_json();
        let text = text.replacen('{', "{ \"helpers\": [1],", 1);
        assert_eq!(
            KernelFeatures::parse(text.as_bytes()).unwrap(),
            features(&[], None)
        );
    }

    #[test]
    fn bad_files_say_what_to_do() {
        let other = features(&[], None).to_json().replace("/v1", "/v9");
        for (text, expected) in [
            ("", "`bartizan-enforcer kernel-features` on a node: EOF"),
            ("kind: x", "expected value at line 1 column 1"),
            ("{}", "missing field `format`"),
            (&other, "its format is `bartizan.dev/kernel-features/v9`"),
            (
                "{ \"format\": \"bartizan.dev/kernel-features/v1\" }",
                "missing field `kernel`",
            ),
        ] {
            let error = KernelFeatures::parse(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{text}: {error}");
        }
        let large = vec![b' '; MAX_SIZE + 1];
        let error = KernelFeatures::parse(&large).unwrap_err();
        assert!(matches!(error, FeaturesError::TooLarge(_)), "{error}");
    }

    #[test]
    fn a_kernel_that_enforces_nothing_says_why() {
        let error = features(&[], Some(&["capability", "yama"])).gaps();
        assert_eq!(
            error.unwrap_err().to_string(),
            "`bpf` is not among its active security modules (`capability,yama`)"
        );
        let error = features(&["mmap_file"], None).gaps().unwrap_err();
        assert!(error.to_string().contains("`mmap_file`"), "{error}");
        assert!(features(&[], Some(&["bpf"])).gaps().unwrap().is_empty());
        assert!(!features(&["path_chmod"], None).gaps().unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = KernelFeatures::parse(&text);
        }

        #[test]
        fn what_is_written_is_read(
            kernel in ".*",
            modules in prop::option::of(prop::collection::vec(".*", 0..4)),
            hooks in prop::collection::btree_set(".*", 0..8),
        ) {
            let written = KernelFeatures::new(kernel, "x".to_owned(), modules, hooks);
            prop_assert_eq!(KernelFeatures::parse(written.to_json().as_bytes()).unwrap(), written);
        }
    }
}
