//! Choices without branches.
//!
//! In a loop, a branch doubles the states that the kernel's verifier has to look at,
//! and LLVM turns the usual bit tricks back into branches: the BPF target has no
//! other conditional. So there the trick is written in assembly.

/// All ones if `value` is not 0, else 0.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub fn any(value: u64) -> u64 {
    if value == 0 { 0 } else { u64::MAX }
}

/// All ones if `value` is not 0, else 0.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub fn any(value: u64) -> u64 {
    let mut mask = value;
    // SAFETY: plain arithmetic on registers: the sign of `value | -value`.
    unsafe {
        core::arch::asm!(
            "{0} = -{0}",
            "{0} |= {1}",
            "{0} s>>= 63",
            inout(reg) mask,
            in(reg) value,
            options(pure, nomem, nostack)
        );
    }
    mask
}

/// `value`, where LLVM can't make a choice without a branch of it: a branch over a
/// comparison costs two instructions, LLVM's way around it up to ten.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
pub fn only_here(value: u64) -> u64 {
    value
}

/// `value`, where LLVM can't make a choice without a branch of it: a branch over a
/// comparison costs two instructions, LLVM's way around it up to ten.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub fn only_here(value: u64) -> u64 {
    let same;
    // SAFETY: copies a register. Not `pure`: then LLVM could do it ahead of the branch.
    unsafe {
        core::arch::asm!("{0} = {1}", out(reg) same, in(reg) value, options(nomem, nostack));
    }
    same
}
