//! The least of `bpf(2)` that a comparison needs: a program that does nothing, and a list
//! of the programs that are loaded.
//!
//! By hand, because the enforcer's loader is what is measured.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, bail};

use crate::attributes::Attributes;

const TYPES: &str = "/sys/kernel/btf/vmlinux";

const PROG_LOAD: libc::c_long = 5;
const PROG_GET_NEXT_ID: libc::c_long = 11;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;

const PROG_TYPE_LSM: u32 = 29;
const ATTACH_LSM_MAC: u32 = 27;

/// `r0 = 0; exit`
const RETURN_0: [u64; 2] = [0xb7, 0x95];

/// `struct bpf_prog_info` up to `attach_btf_id` (5.18), with its padding.
const INFO_BYTES: usize = 232;

/// Attaches a program that returns 0 to a hook, until the result is dropped.
pub(crate) fn attach_empty(hook: &str) -> Result<[OwnedFd; 2]> {
    let functions = functions()?;
    let wanted = format!("bpf_lsm_{hook}");
    let (id, _) = functions
        .iter()
        .find(|(_, name)| **name == wanted)
        .with_context(|| format!("the kernel has no hook {hook}"))?;
    let mut load = Attributes::default();
    load.word(0, PROG_TYPE_LSM);
    load.word(4, RETURN_0.len() as u32);
    load.pointer(8, RETURN_0.as_ptr().cast());
    load.pointer(16, c"GPL".as_ptr().cast());
    load.word(68, ATTACH_LSM_MAC);
    load.word(108, *id);
    let program = load.open(PROG_LOAD).context("can't load a program")?;
    let mut attach = Attributes::default();
    attach.word(8, program.as_raw_fd().cast_unsigned());
    let link = attach.open(RAW_TRACEPOINT_OPEN).context("can't attach")?;
    Ok([program, link])
}

/// Loaded LSM programs by hook, with the instructions that the verifier processed.
pub(crate) fn lsm_programs() -> Result<BTreeMap<String, u32>> {
    let functions = functions()?;
    let mut all = BTreeMap::new();
    let mut id = 0;
    loop {
        let mut next = Attributes::default();
        next.word(0, id);
        if next.call(PROG_GET_NEXT_ID).is_err() {
            return Ok(all);
        }
        id = next.read(4);
        let mut get = Attributes::default();
        get.word(0, id);
        let program = get.open(PROG_GET_FD_BY_ID)?;
        let mut info = [0_u32; INFO_BYTES / 4];
        let mut ask = Attributes::default();
        ask.word(0, program.as_raw_fd().cast_unsigned());
        ask.word(4, INFO_BYTES as u32);
        ask.pointer(8, info.as_mut_ptr().cast());
        ask.call(OBJ_GET_INFO_BY_FD)?;
        let [kind, verified, function] = [info[0], info[216 / 4], info[224 / 4]];
        if kind == PROG_TYPE_LSM {
            let name = functions.get(&function).map_or("?", String::as_str);
            let hook = name.trim_start_matches("bpf_lsm_");
            all.insert(hook.to_owned(), verified);
        }
    }
}

/// The kernel's functions by BTF id.
fn functions() -> Result<BTreeMap<u32, String>> {
    const FUNC: u32 = 12;
    let bytes = fs::read(TYPES).with_context(|| format!("can't read {TYPES}"))?;
    let word = |at: usize| -> Result<u32> {
        let bytes = bytes
            .get(at..at + 4)
            .context("the kernel's BTF ends early")?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    };
    let header = word(4)? as usize;
    let (types, length) = (header + word(8)? as usize, word(12)? as usize);
    let strings = header + word(16)? as usize;
    let mut functions = BTreeMap::new();
    let mut at = types;
    let mut id = 1;
    while at < types + length {
        let (name, info) = (word(at)? as usize, word(at + 4)?);
        let (kind, members) = (info >> 24 & 31, info as usize & 0xffff);
        if kind == FUNC {
            let name = bytes.get(strings + name..).context("a name is missing")?;
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            if name.starts_with(b"bpf_lsm_") {
                functions.insert(id, String::from_utf8_lossy(name).into_owned());
            }
        }
        at += 12
            + match kind {
                // INT, VAR and DECL_TAG; ARRAY; STRUCT, UNION, DATASEC and ENUM64;
                // ENUM and FUNC_PROTO
                1 | 14 | 17 => 4,
                3 => 12,
                4 | 5 | 15 | 19 => 12 * members,
                6 | 13 => 8 * members,
                2 | 7..=12 | 16 | 18 => 0,
                other => bail!("the kernel's BTF has a type of unknown kind {other}"),
            };
        id += 1;
    }
    Ok(functions)
}
