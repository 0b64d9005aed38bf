//! Any bytes as a policy file: policies or diagnostics with places in the file.
#![no_main]

use bartizan_policy::link::{Workload, link};
use bartizan_policy::load::{Source, load};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match load(&[Source::new("fuzz.yaml", bytes)]) {
        Ok(policies) => {
            assert!(!policies.is_empty(), "a file without policies is an error");
            let _ = link(&policies, &Workload::default());
        }
        Err(problems) => {
            assert!(!problems.0.is_empty(), "a refusal says why");
            assert!(!problems.to_string().is_empty());
            let lines = bytes
                .iter()
                .filter(|byte| matches!(byte, b'\n' | b'\r'))
                .count() as u32
                + 1;
            for problem in &problems.0 {
                assert!(
                    problem
                        .line
                        .is_none_or(|line| 1 <= line && line <= lines + 1)
                );
            }
        }
    }
});
