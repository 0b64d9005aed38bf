//! Map keys and values as aya wants them: plain bytes, owned by this crate.

use bartizan_abi::containers::{Armed, ContainerCgroup, Expected};
use bartizan_abi::handover::Owner;
use bartizan_abi::maps::{Binding, CounterKey, Label, Process, Sides};

/// [`CounterKey`], for aya.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct KernelKey(pub(super) CounterKey);

/// [`Label`], for aya.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct KernelLabel(pub(super) Label);

const _: () = assert!(size_of::<CounterKey>() == 12 && size_of::<Label>() == 32);

// SAFETY: `repr(C)` integers without padding (sizes asserted above).
unsafe impl aya::Pod for KernelKey {}
// SAFETY: as above.
unsafe impl aya::Pod for KernelLabel {}

/// [`Process`], for aya.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct KernelProcess(pub(super) Process);

const _: () = assert!(size_of::<Process>() == 16);

// SAFETY: as above.
unsafe impl aya::Pod for KernelProcess {}

/// [`ContainerCgroup`], for aya.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct KernelContainer(pub(super) ContainerCgroup);

/// [`Armed`], for aya.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct KernelArmed(pub(super) Armed);

/// [`Expected`], for aya.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct KernelExpected(pub(super) Expected);

// SAFETY: `repr(C)` integers without padding (asserted where it is defined).
unsafe impl aya::Pod for KernelContainer {}
// SAFETY: as above.
unsafe impl aya::Pod for KernelArmed {}
// SAFETY: as above.
unsafe impl aya::Pod for KernelExpected {}

/// [`Owner`], for aya.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct KernelOwner(pub(super) Owner);

// SAFETY: as above.
unsafe impl aya::Pod for KernelOwner {}

/// A binding's bytes.
pub(super) fn bytes_of(binding: &Binding) -> &[u8] {
    const _: () = assert!(size_of::<Binding>() == 8 + 4 * 4 + 32 * 257);
    const _: () = assert!(size_of::<Sides>() == 8 + 2 * size_of::<Binding>());
    // SAFETY: `repr(C)` integers without padding (asserted above), borrowed as long
    // as the binding is.
    unsafe {
        std::slice::from_raw_parts(
            std::ptr::from_ref(binding).cast::<u8>(),
            size_of::<Binding>(),
        )
    }
}
