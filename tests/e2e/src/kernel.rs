//! What of Bartizan is in the kernel.

use std::ffi::CStr;
use std::io::Error;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Result, bail, ensure};
use bartizan_abi::limits::MAX_CGROUPS;
use bartizan_abi::table;
use rustix::io::Errno;

use crate::attributes::Attributes;

const MAP_UPDATE: libc::c_long = 2;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const PROG_GET_NEXT_ID: libc::c_long = 11;
const MAP_GET_NEXT_ID: libc::c_long = 12;
const MAP_GET_FD_BY_ID: libc::c_long = 14;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const MAP_UPDATE_BATCH: libc::c_long = 26;
const LINK_GET_NEXT_ID: libc::c_long = 31;

/// `struct bpf_map_info` up to `name`.
const INFO_BYTES: usize = 40;
const VALUE_SIZE: usize = 12;
const NAME: usize = 24;

/// Some program is attached somewhere.
pub(crate) fn is_anything_attached() -> bool {
    !links().is_empty()
}

/// The kernel's numbers of everything that is attached. A number is never used again.
pub(crate) fn links() -> Vec<u32> {
    numbers(LINK_GET_NEXT_ID)
}

/// The kernel's numbers of all programs, attached or not.
pub(crate) fn programs() -> Vec<u32> {
    numbers(PROG_GET_NEXT_ID)
}

/// The kernel's numbers of all maps.
pub(crate) fn maps() -> Vec<u32> {
    numbers(MAP_GET_NEXT_ID)
}

fn numbers(next_id: libc::c_long) -> Vec<u32> {
    let next = |last: &u32| {
        let mut next = Attributes::default();
        next.word(0, *last);
        next.call(next_id).ok().map(|_| next.read(4))
    };
    std::iter::successors(next(&0), next).collect()
}

/// How many entries the map of that name has. Keys have at most 64 bytes.
pub(crate) fn entries(name: &CStr) -> Result<usize> {
    let map = map(name)?;
    let (mut key, mut next_key) = ([0_u8; 64], [0_u8; 64]);
    let mut count = 0;
    loop {
        let mut next = Attributes::default();
        next.word(0, map.as_raw_fd().cast_unsigned());
        if count > 0 {
            next.pointer(8, key.as_ptr());
        }
        next.pointer(16, next_key.as_mut_ptr());
        if next.call(MAP_GET_NEXT_KEY).is_err() {
            return Ok(count);
        }
        key = next_key;
        count += 1;
    }
}

/// Fills the map of labels with cgroups that don't exist.
pub(crate) fn fill_labels() -> Result<()> {
    // Ids of cgroups count up from 1.
    let keys: Vec<u64> = (1 << 40..).take(MAX_CGROUPS as usize + 1).collect();
    let values = vec![1_u32; keys.len()];
    let map = map(c"CGROUPS")?;
    let mut update = Attributes::default();
    update.pointer(16, keys.as_ptr().cast());
    update.pointer(24, values.as_ptr().cast());
    update.word(32, keys.len() as u32);
    update.word(36, map.as_raw_fd().cast_unsigned());
    let error = update.call(MAP_UPDATE_BATCH).err();
    let errno = error.as_ref().and_then(Error::raw_os_error);
    ensure!(
        errno == Some(Errno::TOOBIG.raw_os_error()),
        "filling the map of labels ended with {error:?}"
    );
    Ok(())
}

/// Tries to change every compiled table that is in the kernel; how each try ended.
pub(crate) fn change_tables() -> Result<Vec<Option<i32>>> {
    let mut answers = Vec::new();
    for id in maps() {
        let map = open(id)?;
        let info = info(&map)?;
        // Tables have no name.
        if info[VALUE_SIZE..][..4] != table::VALUE_SIZE.to_ne_bytes() || info[NAME] != 0 {
            continue;
        }
        let (key, value) = (0_u32, vec![0_u8; table::VALUE_SIZE as usize]);
        let mut update = Attributes::default();
        update.word(0, map.as_raw_fd().cast_unsigned());
        update.pointer(8, (&raw const key).cast());
        update.pointer(16, value.as_ptr());
        let error = update.call(MAP_UPDATE).err();
        answers.push(error.and_then(|error| error.raw_os_error()));
    }
    Ok(answers)
}

/// The map of that name.
fn map(name: &CStr) -> Result<OwnedFd> {
    for id in maps() {
        let map = open(id)?;
        if CStr::from_bytes_until_nul(&info(&map)?[NAME..]) == Ok(name) {
            return Ok(map);
        }
    }
    bail!("the kernel has no map {name:?}")
}

fn open(id: u32) -> Result<OwnedFd> {
    let mut get = Attributes::default();
    get.word(0, id);
    Ok(get.open(MAP_GET_FD_BY_ID)?)
}

fn info(map: &OwnedFd) -> Result<[u8; INFO_BYTES]> {
    let mut info = [0; INFO_BYTES];
    let mut ask = Attributes::default();
    ask.word(0, map.as_raw_fd().cast_unsigned());
    ask.word(4, INFO_BYTES as u32);
    ask.pointer(8, info.as_mut_ptr());
    ask.call(OBJ_GET_INFO_BY_FD)?;
    Ok(info)
}
