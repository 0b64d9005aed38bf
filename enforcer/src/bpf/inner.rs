//! Inner maps: arrays of one big value, filled before anybody can see them.
//!
//! aya creates maps without BTF, and kernels before 6.2 refuse an inner map whose
//! BTF-derived properties differ from the outer map's template. So these are made
//! by the system call itself, with the BTF ids of a template of the same type.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::bpf::error::MapError;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_GET_FD_BY_ID: libc::c_long = 14;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_BTF_GET_FD_BY_ID: libc::c_long = 19;
const BPF_MAP_FREEZE: libc::c_long = 22;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;
const BPF_MAP_TYPE_ARRAY: u32 = 2;

/// `union bpf_attr`, large enough for every command used here.
#[repr(C, align(8))]
struct Attr([u32; 32]);

/// `struct bpf_map_info`, its first 88 bytes.
#[repr(C, align(8))]
struct MapInfo([u32; 22]);

fn bpf(command: libc::c_long, attr: &mut Attr) -> io::Result<i32> {
    // SAFETY: needed because no library exposes these commands; `attr` lives through
    // the call, is larger than the kernel reads, and zero beyond the fields in use.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<Attr>() as libc::c_ulong,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result as i32)
    }
}

fn address<T: ?Sized>(value: &T) -> [u32; 2] {
    let address = std::ptr::from_ref(value).cast::<u8>() as u64;
    [address as u32, (address >> 32) as u32]
}

/// The type of an inner map, from a template map.
pub(super) struct Template {
    btf: OwnedFd,
    key_type: u32,
    value_type: u32,
    value_size: u32,
}

impl Template {
    /// Reads a template map's BTF ids.
    pub(super) fn of(map: BorrowedFd<'_>) -> io::Result<Self> {
        let info = info(map)?;
        let mut attr = Attr([0; 32]);
        attr.0[0] = info[16]; // btf_id
        let fd = bpf(BPF_BTF_GET_FD_BY_ID, &mut attr)?;
        Ok(Self {
            // SAFETY: the kernel just gave this descriptor to us alone.
            btf: unsafe { OwnedFd::from_raw_fd(fd) },
            value_size: info[3],
            key_type: info[17],
            value_type: info[18],
        })
    }

    /// A new array of one value that begins with `bytes` and is zero behind them.
    pub(super) fn fill(&self, bytes: &[u8]) -> Result<OwnedFd, MapError> {
        let failed = |operation| move |source| MapError::Call { operation, source };
        let mut attr = Attr([0; 32]);
        attr.0[0] = BPF_MAP_TYPE_ARRAY;
        attr.0[1] = 4;
        attr.0[2] = self.value_size;
        attr.0[3] = 1;
        attr.0[12] = self.btf.as_raw_fd().cast_unsigned(); // btf_fd
        attr.0[13] = self.key_type;
        attr.0[14] = self.value_type;
        let fd = bpf(BPF_MAP_CREATE, &mut attr).map_err(failed("creating an inner map"))?;
        // SAFETY: the kernel just gave this descriptor to us alone.
        let map = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut value = vec![0u8; self.value_size as usize];
        value
            .get_mut(..bytes.len())
            .ok_or(MapError::TableSize(bytes.len()))?
            .copy_from_slice(bytes);
        update(map.as_fd(), 0, value.as_slice()).map_err(failed("filling an inner map"))?;
        Ok(map)
    }
}

/// Puts inner maps into an outer one. When this returns, every program that ran before
/// has ended: the kernel waits for that, some 20 ms, once since 6.8 and before that once
/// for each element. On an error some may be there.
pub(super) fn publish(outer: BorrowedFd<'_>, maps: &[(u32, OwnedFd)]) -> io::Result<()> {
    let keys: Vec<u32> = maps.iter().map(|(key, _)| *key).collect();
    let fds: Vec<i32> = maps.iter().map(|(_, map)| map.as_raw_fd()).collect();
    let mut attr = Attr([0; 32]);
    attr.0[4..6].copy_from_slice(&address(keys.as_slice()));
    attr.0[6..8].copy_from_slice(&address(fds.as_slice()));
    attr.0[8] = maps.len() as u32;
    attr.0[9] = outer.as_raw_fd().cast_unsigned();
    bpf(BPF_MAP_UPDATE_BATCH, &mut attr).map(|_| ())
}

/// A map's number, by which [`open`] finds it as long as it exists.
pub(super) fn id(map: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(info(map)?[1])
}

/// Opens a map by its number.
pub(super) fn open(id: u32) -> io::Result<OwnedFd> {
    let mut attr = Attr([0; 32]);
    attr.0[0] = id;
    let fd = bpf(BPF_MAP_GET_FD_BY_ID, &mut attr)?;
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn info(map: BorrowedFd<'_>) -> io::Result<[u32; 22]> {
    let mut info = MapInfo([0; 22]);
    let mut attr = Attr([0; 32]);
    attr.0[0] = map.as_raw_fd().cast_unsigned();
    attr.0[1] = size_of::<MapInfo>() as u32;
    // A raw pointer: the kernel writes through it.
    let place = &raw mut info as u64;
    attr.0[2..4].copy_from_slice(&[place as u32, (place >> 32) as u32]);
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    // SAFETY: the kernel wrote it behind the compiler's back.
    Ok(unsafe { std::ptr::read_volatile(&raw const info.0) })
}

/// Reads a map's element. `value` must have the map's size. Not for outer maps: before
/// 6.8, reading one waits as [`publish`] does.
pub(super) fn lookup(map: BorrowedFd<'_>, key: u32, value: &mut [u8]) -> io::Result<()> {
    let mut attr = Attr([0; 32]);
    attr.0[0] = map.as_raw_fd().cast_unsigned();
    attr.0[2..4].copy_from_slice(&address(&key));
    // A mutable borrow: the kernel writes through it.
    let place = value.as_mut_ptr() as u64;
    attr.0[4..6].copy_from_slice(&[place as u32, (place >> 32) as u32]);
    bpf(BPF_MAP_LOOKUP_ELEM, &mut attr).map(|_| ())
}

/// Sets a map's element. `key` and `value` must have the map's sizes.
pub(super) fn update<V: ?Sized>(map: BorrowedFd<'_>, key: u32, value: &V) -> io::Result<()> {
    let mut attr = Attr([0; 32]);
    attr.0[0] = map.as_raw_fd().cast_unsigned();
    attr.0[2..4].copy_from_slice(&address(&key));
    attr.0[4..6].copy_from_slice(&address(value));
    bpf(BPF_MAP_UPDATE_ELEM, &mut attr).map(|_| ())
}

/// Lets no system call change a map any more, whoever makes it.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = Attr([0; 32]);
    attr.0[0] = map.as_raw_fd().cast_unsigned();
    bpf(BPF_MAP_FREEZE, &mut attr).map(|_| ())
}

/// Removes a map's element.
pub(super) fn delete(map: BorrowedFd<'_>, key: u32) -> io::Result<()> {
    let mut attr = Attr([0; 32]);
    attr.0[0] = map.as_raw_fd().cast_unsigned();
    attr.0[2..4].copy_from_slice(&address(&key));
    bpf(BPF_MAP_DELETE_ELEM, &mut attr).map(|_| ())
}
