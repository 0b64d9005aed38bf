//! The stack of component classes between the two passes of a walk.
//!
//! On the BPF target it is built so that every verifier from 6.1 on accepts it:
//! no zeroing (LLVM would emit a `memset` loop), all stores at an offset the
//! verifier can't know (so that states merge), masks next to their use.

use crate::limits::MAX_DEPTH;

/// A fixed stack of `u16`, addressed modulo [`MAX_DEPTH`].
#[cfg(not(target_arch = "bpf"))]
pub(crate) struct Stack([u16; MAX_DEPTH as usize]);

#[cfg(not(target_arch = "bpf"))]
impl Stack {
    pub(crate) fn new() -> Self {
        Self([0; MAX_DEPTH as usize])
    }

    pub(crate) fn set(&mut self, i: u64, value: u64) {
        self.0[i as usize % self.0.len()] = value as u16;
    }

    pub(crate) fn get(&self, i: u64) -> u64 {
        u64::from(self.0[i as usize % self.0.len()])
    }
}

/// A fixed stack of `u16`, addressed modulo [`MAX_DEPTH`].
#[cfg(target_arch = "bpf")]
pub(crate) struct Stack(core::mem::MaybeUninit<[u16; MAX_DEPTH as usize]>);

#[cfg(target_arch = "bpf")]
impl Stack {
    /// Writes nothing: a stack made with a value would be made twice and copied.
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self(core::mem::MaybeUninit::uninit())
    }

    /// The first store must be at an index that the verifier doesn't know: a store at an
    /// unknown offset marks the whole array as initialised.
    #[inline(always)]
    pub(crate) fn set(&mut self, i: u64, value: u64) {
        let i = masked(i);
        // SAFETY: `masked` keeps the index below MAX_DEPTH.
        unsafe {
            self.0
                .as_mut_ptr()
                .cast::<u16>()
                .add(i)
                .write_volatile(value as u16)
        }
    }

    #[inline(always)]
    pub(crate) fn get(&self, i: u64) -> u64 {
        let i = masked(i);
        // SAFETY: as above; the verifier checks that it was initialised.
        unsafe { self.0.as_ptr().cast::<u16>().add(i).read_volatile().into() }
    }
}

/// `depth`, which is at most [`MAX_DEPTH`], with the same bounds for the verifier
/// wherever the loop that counted it ended: so what follows is verified once.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub fn bounded(mut depth: u64) -> u64 {
    // SAFETY: plain arithmetic on a register.
    unsafe { core::arch::asm!("{0} &= 127", inout(reg) depth, options(pure, nomem, nostack)) };
    depth
}

/// Nothing to do where no verifier looks.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub fn bounded(depth: u64) -> u64 {
    depth
}

/// `i & 63` where LLVM can neither move nor drop it.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn masked(mut i: u64) -> usize {
    // SAFETY: plain arithmetic on a register.
    unsafe { core::arch::asm!("{0} &= 63", inout(reg) i, options(pure, nomem, nostack)) };
    i as usize
}
