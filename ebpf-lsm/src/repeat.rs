//! Loops that the verifier looks at once, not once for each turn.

use aya_ebpf::helpers::generated::bpf_loop;
use bartizan_abi::repeat::Step;

/// A loop's state, and whether a step could not read something (1).
struct Turns<'a, S> {
    state: &'a mut S,
    failed: u64,
}

/// Takes steps until one says that it was the last, at most `times`. `None`: something could
/// not be read.
///
/// Each costs a call, so the hook whose cost counts has loops of its own.
#[inline(always)]
pub fn repeat<S: Step>(times: u64, state: &mut S) -> Option<()> {
    let mut turns = Turns { state, failed: 0 };
    let context = (&raw mut turns).cast();
    // SAFETY: the context is what `turn` takes, and lives until the helper returns.
    unsafe { bpf_loop(times as u32, turn::<S> as *mut _, context, 0) };
    (turns.failed == 0).then_some(())
}

/// One turn; 1 ends the loop.
#[inline(never)]
extern "C" fn turn<S: Step>(i: u64, turns: *mut Turns<'_, S>) -> i64 {
    // SAFETY: what `repeat` passed.
    let turns = unsafe { &mut *turns };
    match turns.state.step(i) {
        Some(true) => return 0,
        Some(false) => {}
        None => turns.failed = 1,
    }
    1
}
