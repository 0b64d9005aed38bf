//! Tables in kernel memory.

use bartizan_abi::table::{At, Table, VALUE_SIZE};

/// The value of a table's map; a structure, so that global functions can take it.
#[repr(C, align(8))]
pub struct TableValue(pub [u8; VALUE_SIZE as usize]);

/// A compiled table.
#[derive(Clone, Copy)]
pub struct Compiled(pub *const u8);

/// A place in one.
#[derive(Clone, Copy)]
pub struct CompiledAt(*const u8);

impl Compiled {
    #[inline(always)]
    pub fn new(value: *const TableValue) -> Self {
        Self(value.cast())
    }
}

impl Table for Compiled {
    type At = CompiledAt;

    #[inline(always)]
    fn at(self, mut offset: u64) -> CompiledAt {
        // In assembly, so that LLVM can neither move the mask away from the addition
        // nor drop it: the verifier needs the bound here.
        // SAFETY: plain arithmetic on a register.
        unsafe {
            core::arch::asm!("{0} &= 1048575", inout(reg) offset, options(pure, nomem, nostack));
        }
        CompiledAt(self.0.wrapping_add(offset as usize))
    }

    #[inline(always)]
    fn near(self, offset: u64) -> CompiledAt {
        CompiledAt(self.0.wrapping_add(offset as usize))
    }

    #[inline(always)]
    fn header(self) -> CompiledAt {
        CompiledAt(self.0)
    }
}

impl CompiledAt {
    #[inline(always)]
    fn read<T: Copy>(self, field: u32) -> T {
        // SAFETY: the offset is below TABLE_SIZE, and VALUE_SIZE has room for every
        // record at such an offset; fields of the header are below 512.
        unsafe { self.0.wrapping_add(field as usize).cast::<T>().read() }
    }
}

impl At for CompiledAt {
    #[inline(always)]
    fn u16(self, field: u32) -> u64 {
        self.read::<u16>(field).into()
    }

    #[inline(always)]
    fn u32(self, field: u32) -> u64 {
        self.read::<u32>(field).into()
    }

    #[inline(always)]
    fn u64(self, field: u32) -> u64 {
        self.read(field)
    }
}
