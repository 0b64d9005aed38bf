//! Ring-buffer records, well-formed or not: the decoder answers, it never panics.
#![no_main]

// The decoder alone, without the enforcer around it: aya and tokio would be built
// with coverage for nothing.
#[path = "../../enforcer/src"]
mod enforcer {
    #[expect(
        dead_code,
        reason = "the fuzzer reads nothing of what has been decoded"
    )]
    pub(super) mod events;
}

use enforcer::events::{self, DecodeError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = events::decode(bytes);
    assert_eq!(
        bytes.len() == events::EVENT_SIZE,
        !matches!(whole, Err(DecodeError::Size(_)))
    );
    // Records have one size; a short input is one that ends in zeroes.
    let mut record = vec![0; events::EVENT_SIZE];
    let used = bytes.len().min(record.len());
    record[..used].copy_from_slice(&bytes[..used]);
    let _ = events::decode(&record);
});
