//! Loops as steps, so that each side can repeat them in its own way.

/// The state of a loop.
pub trait Step {
    /// Takes step `i`, counted from 0. `Some(true)`: there may be more. `Some(false)`: it
    /// was the last. `None`: something could not be read.
    fn step(&mut self, i: u64) -> Option<bool>;
}

/// Takes steps until one was the last, at most `times`. `None`: something could not be read.
#[inline(always)]
pub fn repeat<S: Step>(times: u64, state: &mut S) -> Option<()> {
    let mut i = 0;
    while i < times {
        if !state.step(i)? {
            break;
        }
        i += 1;
    }
    Some(())
}
