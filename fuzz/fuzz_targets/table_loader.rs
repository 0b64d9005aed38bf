//! Bytes as a compiled table: refused or not, the walk ends and reads nothing outside.
//!
//! The kernel runs the same walk; there the verifier proves it, here the fuzzer tries.
#![no_main]

use std::sync::OnceLock;

use bartizan_abi::limits::TABLE_SIZE;
use bartizan_policy::compile::compile;
use bartizan_policy::evaluate::{check_table, evaluate};
use libfuzzer_sys::fuzz_target;

#[path = "../../policy/tests/generate/mod.rs"]
mod generate;

use generate::rules::Case;
use generate::{Choices, requests, rules};

/// Bytes that decide on the requests.
const REQUESTS: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let (decisions, damage) = bytes.split_at(bytes.len().min(REQUESTS));
    let (case, table) = sound();
    let mut choices = Choices::new(decisions);
    let requests: Vec<_> = (0..4)
        .map(|_| requests::request(&mut choices, case))
        .collect();

    // Hostile from the first byte on.
    let raw = &damage[..damage.len().min(TABLE_SIZE as usize)];
    let _ = check_table(raw);
    // Nearly right: (place, value) pairs over a table that was.
    let mut broken = table.clone();
    for change in damage.chunks_exact(4) {
        let place = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
        let place = place % broken.len();
        broken[place] = change[3];
    }
    let _ = check_table(&broken);
    for request in &requests {
        let _ = evaluate(raw, request);
        let _ = evaluate(&broken, request);
    }
});

/// A rule map of everything, and its table.
fn sound() -> &'static (Case, Vec<u8>) {
    static SOUND: OnceLock<(Case, Vec<u8>)> = OnceLock::new();
    SOUND.get_or_init(|| {
        // Any decisions will do, as long as they are many.
        let decisions: Vec<u8> = (0..4096_u32).map(|i| (i * i * 31 >> 5) as u8).collect();
        let case = rules::case(&mut Choices::new(&decisions), 4, 8);
        let table = compile(&case.map).expect("a few dozen patterns always fit");
        (case, table)
    })
}
