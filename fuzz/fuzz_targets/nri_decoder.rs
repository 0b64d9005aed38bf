//! Whatever comes over a runtime's socket, in whatever pieces: it is read the same, and
//! never panics.
#![no_main]

// The decoders alone, without the enforcer around them.
#[expect(dead_code, reason = "what is only written isn't fuzzed")]
#[path = "../../enforcer/src/nri/frames.rs"]
mod frames;
#[expect(dead_code, reason = "what is only written isn't fuzzed")]
#[path = "../../enforcer/src/nri/messages.rs"]
mod messages;
#[path = "../../enforcer/src/protobuf.rs"]
mod protobuf;

use frames::{Message, Reassembly};
use libfuzzer_sys::fuzz_target;

/// The messages in `bytes`, and whether they end in an error.
fn read(bytes: &[u8], size: usize) -> (Vec<Message>, bool) {
    let mut reassembly = Reassembly::default();
    let mut messages = Vec::new();
    for part in bytes.chunks(size) {
        if reassembly.push(part).is_err() {
            return (messages, true);
        }
        loop {
            match reassembly.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return (messages, true),
            }
        }
    }
    (messages, false)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((size, bytes)) = bytes.split_first() else {
        return;
    };
    let (whole, failed) = read(bytes, bytes.len().max(1));
    let (mut pieces, also_failed) = read(bytes, usize::from(*size) + 1);
    // Connections are apart, so only the order of messages of one is the same; an error
    // ends both connections.
    if !failed && !also_failed {
        let mut whole = whole.clone();
        whole.sort_by_key(|message| message.connection);
        pieces.sort_by_key(|message| message.connection);
        assert_eq!(whole, pieces);
    }
    for message in whole {
        let again = read(&message.encode(), 4_096);
        assert_eq!(again, (vec![message.clone()], false));
        let _ = messages::response(&message.payload);
        if let Ok((method, payload)) = messages::request(&message.payload) {
            let _ = messages::call(&method, payload);
        }
    }
    for method in ["Configure", "Synchronize", "StateChange", "CreateContainer"] {
        let _ = messages::call(method, bytes);
    }
});
