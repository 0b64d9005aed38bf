//! Loops as steps, so that each side can repeat them in its own way.

/// The state of a loop.
pub trait Step {
    /// Takes step `i`, counted from 0. `Some(true)`: there may be more. `Some(false)`: it
    /// was the last. `None`: something could not be read.
    fn step(&mut self, i: u64) -> Option<bool>;
}

/// How a loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum End {
    /// As often as allowed, and there may be more.
    Exhausted = 0,
    /// A step was the last.
    Done = 1,
    /// Something could not be read.
    Failed = 2,
}

/// Takes steps until one was the last, at most `times`.
#[inline(always)]
pub fn repeat<S: Step>(times: u64, state: &mut S) -> End {
    let mut i = 0;
    while i < times {
        match state.step(i) {
            Some(true) => i += 1,
            Some(false) => return End::Done,
            None => return End::Failed,
        }
    }
    End::Exhausted
}
