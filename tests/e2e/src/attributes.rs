//! `bpf(2)` by hand, for tests that look at the kernel behind the enforcer's back.

use std::os::fd::{FromRawFd as _, OwnedFd};

/// `union bpf_attr`; fields are set by their offsets.
#[derive(Debug, Default)]
#[repr(C, align(8))]
pub(crate) struct Attributes([u32; 32]);

impl Attributes {
    /// Sets four bytes.
    pub(crate) fn word(&mut self, offset: usize, value: u32) {
        self.0[offset / 4] = value;
    }

    /// Sets an address.
    pub(crate) fn pointer(&mut self, offset: usize, to: *const u8) {
        let address = to as u64;
        self.word(offset, address as u32);
        self.word(offset + 4, (address >> 32) as u32);
    }

    /// Four bytes, of an answer for instance.
    pub(crate) fn read(&self, offset: usize) -> u32 {
        self.0[offset / 4]
    }

    /// Calls the kernel.
    pub(crate) fn call(&mut self, command: libc::c_long) -> std::io::Result<i32> {
        // SAFETY: the attributes are as large as said, and what they point to lives in
        // the caller, which made pointers and lengths agree.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                self.0.as_mut_ptr(),
                size_of_val(&self.0),
            )
        };
        if result < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(result as i32)
    }

    /// A command that answers with a descriptor.
    pub(crate) fn open(mut self, command: libc::c_long) -> std::io::Result<OwnedFd> {
        let fd = self.call(command)?;
        // SAFETY: the kernel has just made it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}
