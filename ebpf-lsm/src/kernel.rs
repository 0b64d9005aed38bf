//! Reading kernel structures: offsets from `.rodata`, loads through typed pointers.
//!
//! A load at `pointer + frozen offset` keeps its BTF type in the verifier and costs
//! one instruction; a fault in it reads zero. What isn't done at every operation, and
//! pointers that have lost their type, are read by their address, by
//! `bpf_probe_read_kernel` ([`peek_field`], [`peek`]).

use aya_ebpf::helpers::bpf_get_current_task_btf;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use core::mem::MaybeUninit;

/// An offset that the loader fills in.
#[repr(transparent)]
pub struct Offset(u64);

impl Offset {
    #[inline(always)]
    pub fn get(&'static self) -> usize {
        // Volatile: the value at build time means nothing.
        // SAFETY: a static that the loader wrote before the program was verified.
        unsafe { core::ptr::read_volatile(&self.0) as usize }
    }

    /// The kernel has that field.
    #[inline(always)]
    pub fn is_present(&'static self) -> bool {
        self.get() as u64 != bartizan_abi::fields::ABSENT
    }
}

macro_rules! offsets {
    ($($name:ident)*) => {
        $(#[unsafe(no_mangle)] pub static $name: Offset = Offset(0);)*
    };
}

offsets! {
    DENTRY_SB SB_DEV SB_FLAGS SB_MAGIC SB_ROOT INODE_INO INODE_UID FILE_DENTRY FILE_MODE FILE_FLAGS
    PATH_DENTRY BPRM_FILE VMA_FILE VMA_FLAGS TASK_MM TASK_FS TASK_CRED TASK_PARENT TASK_TGID TASK_PID TASK_LEADER TASK_STARTED
    TASK_EXEC_ID TASK_IN_EXECVE TASK_CGROUPS CSS_SET_CGROUP CRED_FSUID MM_EXE_FILE FS_ROOT SOCKET_SK SOCK_FAMILY SOCK_PROTOCOL
    SOCK_PORT SOCK_ADDRESS SOCK_ADDRESS6 UNIX_DENTRY UNIX_ADDRESS
    UNIX_ADDRESS_LENGTH UNIX_ADDRESS_NAME MSG_NAME MSG_FLAGS MOUNT_ROOT STRING_BYTES TASK_REAL_CRED TASK_FLAGS TASK_IO_URING CALL_NUMBER
    CGROUP_KN CGROUP_PARENT CGROUP_ROOT ROOT_HIERARCHY CSS_CGROUP KN_ID KN_NAME BACKING_PATH FILE_PRIVATE INET_SOURCE
    FILE_INODE INODE_ALIASES DENTRY_ALIASES
}

/// A kernel object of some structure.
pub type Object = *const u8;

/// The current task.
#[inline(always)]
pub fn current() -> Object {
    // SAFETY: no arguments.
    unsafe { bpf_get_current_task_btf() }.cast_const().cast()
}

/// The dentry of a task's root directory, 0 if it has none (any more).
#[inline(always)]
pub fn root_of(task: Object) -> u64 {
    let fs: u64 = peek_field(address(task), &TASK_FS);
    peek_field(fs, &FS_ROOT)
}

/// Loads a field of a typed object.
#[inline(always)]
pub fn load<T: Copy>(object: Object, offset: &'static Offset) -> T {
    // SAFETY: the verifier checks type and bounds; a bad address reads zero.
    unsafe {
        object
            .wrapping_add(offset.get())
            .cast::<T>()
            .read_volatile()
    }
}

/// Loads a field at a compiled-in offset.
#[inline(always)]
pub fn load_at<T: Copy>(object: Object, offset: usize) -> T {
    // SAFETY: as above.
    unsafe { object.wrapping_add(offset).cast::<T>().read_volatile() }
}

/// Reads kernel memory at an address that the verifier knows nothing of; zero if it
/// can't be read. No branch: in a loop, one would double the verifier's states.
#[inline(always)]
pub fn peek<T: Copy>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper checks the address, and fills the buffer in any case.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const _,
        );
        value.assume_init()
    }
}

/// [`load`] for what isn't done at every operation: it costs some forty instructions more,
/// and loading the program fewer. To judge what a pointer is that was loaded through a
/// trusted one, such as a field of the current task, 6.12 looks through the names of all
/// kernel types, up to four times.
#[inline(always)]
pub fn peek_field<T: Copy>(object: u64, offset: &'static Offset) -> T {
    peek(object.wrapping_add(offset.get() as u64))
}

/// [`peek`] where a failure has to be told from a zero.
#[inline(always)]
pub fn try_peek<T: Copy>(address: u64) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: as above.
    let result = unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            address as *const _,
        )
    };
    // SAFETY: as above.
    if result == 0 {
        Some(unsafe { value.assume_init() })
    } else {
        None
    }
}

/// Forgets a pointer's type, so that it can be passed to a global function.
/// (7.x types even `unsigned char *`; two negations make any of them a number.)
#[inline(always)]
pub fn address(object: Object) -> u64 {
    let mut value = object as u64;
    // SAFETY: plain arithmetic on a register.
    unsafe {
        core::arch::asm!("{0} = -{0}", "{0} = -{0}", inout(reg) value, options(nomem, nostack));
    }
    value
}

/// `-errno` that LLVM can't turn into arithmetic, whose range the verifier would lose.
#[inline(always)]
pub fn errno_eacces() -> i32 {
    let code: i64;
    // SAFETY: sets a register.
    unsafe { core::arch::asm!("{0} = -13", out(reg) code, options(nomem, nostack)) };
    code as i32
}

/// See [`errno_eacces`].
#[inline(always)]
pub fn errno_eperm() -> i32 {
    let code: i64;
    // SAFETY: sets a register.
    unsafe { core::arch::asm!("{0} = -1", out(reg) code, options(nomem, nostack)) };
    code as i32
}
