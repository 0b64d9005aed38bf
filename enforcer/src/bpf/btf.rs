//! Offsets of kernel structure members, read from the running kernel's BTF.
//!
//! aya keeps member offsets to itself, and general BTF libraries build a model of
//! all 100,000 types first; this reads the few it is asked for in one pass.

use std::collections::HashMap;

/// Why an offset can't be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// The data is no BTF, or cut.
    #[error("the kernel's type information (BTF) can't be read: {0}")]
    Malformed(&'static str),
    /// The kernel has no such structure.
    #[error("the kernel has no `struct {0}`")]
    NoStructure(String),
    /// The structure has no such member.
    #[error("the kernel's `struct {structure}` has no member `{member}`")]
    NoMember {
        /// The structure.
        structure: String,
        /// The dotted path of the member.
        member: String,
    },
}

const MAGIC: u16 = 0xeb9f;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
/// Kinds that only name or qualify another type: typedef, volatile, const, restrict, `type_tag`.
const TRANSPARENT: [u32; 5] = [8, 9, 10, 11, 18];

/// The types of a kernel.
pub(super) struct Types<'a> {
    data: &'a [u8],
    strings: &'a [u8],
    /// Byte offset of each type in `data`, by type id - 1.
    offsets: Vec<u32>,
    structures: HashMap<&'a [u8], u32>,
}

struct Type {
    kind: u32,
    vlen: u32,
    bits_valid: bool,
    /// The id of the type referred to (a size, in kinds that refer to none).
    target: u32,
}

impl<'a> Types<'a> {
    /// Indexes the contents of `/sys/kernel/btf/vmlinux`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, BtfError> {
        let word = |at: usize| read(bytes, at).ok_or(BtfError::Malformed("the header is cut"));
        if word(0)? & 0xffff != u32::from(MAGIC) {
            return Err(BtfError::Malformed("wrong magic number"));
        }
        let header = word(4)? as usize;
        let section = |offset: usize, length: usize| {
            bytes
                .get(header + offset..)?
                .get(..length)
                .filter(|_| length > 0)
        };
        let data = section(word(8)? as usize, word(12)? as usize)
            .ok_or(BtfError::Malformed("the types are cut"))?;
        let strings = section(word(16)? as usize, word(20)? as usize)
            .ok_or(BtfError::Malformed("the strings are cut"))?;
        let mut types = Self {
            data,
            strings,
            offsets: Vec::new(),
            structures: HashMap::new(),
        };
        types.index()?;
        Ok(types)
    }

    fn index(&mut self) -> Result<(), BtfError> {
        let mut at = 0;
        while at < self.data.len() {
            let (Some(name), Some(info)) = (read(self.data, at), read(self.data, at + 4)) else {
                return Err(BtfError::Malformed("a type is cut"));
            };
            let (kind, vlen) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let tail = match kind {
                1 | 14 | 17 => 4,
                2 | 7 | 8 | 9 | 10 | 11 | 12 | 16 | 18 => 0,
                3 => 12,
                STRUCT | UNION | 15 | 19 => vlen * 12,
                6 | 13 => vlen * 8,
                _ => return Err(BtfError::Malformed("a type of an unknown kind")),
            };
            // A volatile or const of nothing has no vlen; declaration tags (17) have one word.
            self.offsets.push(
                u32::try_from(at)
                    .ok()
                    .ok_or(BtfError::Malformed("too large"))?,
            );
            if kind == STRUCT {
                let name = string(self.strings, name);
                self.structures
                    .entry(name)
                    .or_insert(self.offsets.len() as u32);
            }
            at += 12 + tail;
        }
        Ok(())
    }

    fn get(&self, id: u32) -> Option<(Type, usize)> {
        let at = *self.offsets.get((id as usize).checked_sub(1)?)? as usize;
        let info = read(self.data, at + 4)?;
        let kind = Type {
            kind: info >> 24 & 0x1f,
            vlen: info & 0xffff,
            bits_valid: info >> 31 != 0,
            target: read(self.data, at + 8)?,
        };
        Some((kind, at + 12))
    }

    /// Offset of a member in bits; `path` is dotted and looks through anonymous members.
    pub(super) fn bit_offset(&self, structure: &str, path: &str) -> Result<u64, BtfError> {
        let mut id = *self
            .structures
            .get(structure.as_bytes())
            .ok_or_else(|| BtfError::NoStructure(structure.to_owned()))?;
        let mut bits = 0;
        for member in path.split('.') {
            let found = self.member(id, member.as_bytes(), 0);
            let (offset, next) = found.ok_or_else(|| BtfError::NoMember {
                structure: structure.to_owned(),
                member: path.to_owned(),
            })?;
            bits += offset;
            id = next;
        }
        Ok(bits)
    }

    /// Bit offset and type of a member, anonymous members included.
    fn member(&self, id: u32, name: &[u8], depth: u32) -> Option<(u64, u32)> {
        let (mut of, mut at) = self.get(id)?;
        let mut hops = 0;
        while TRANSPARENT.contains(&of.kind) && hops < 16 {
            (of, at) = self.get(of.target)?;
            hops += 1;
        }
        if !matches!(of.kind, STRUCT | UNION) || depth > 8 {
            return None;
        }
        for i in 0..of.vlen as usize {
            let at = at + i * 12;
            let (label, id, offset) = (
                read(self.data, at)?,
                read(self.data, at + 4)?,
                read(self.data, at + 8)?,
            );
            let bits = u64::from(if of.bits_valid {
                offset & 0xff_ffff
            } else {
                offset
            });
            if string(self.strings, label) == name && label != 0 {
                return Some((bits, id));
            }
            if label == 0
                && let Some((inner, id)) = self.member(id, name, depth + 1)
            {
                return Some((bits + inner, id));
            }
        }
        None
    }

    /// What programs of BPF-LSM can be attached to, by the hook's name.
    pub(super) fn lsm_hooks(&self) -> impl Iterator<Item = &str> {
        self.functions()
            .filter_map(|function| function.strip_prefix("bpf_lsm_"))
    }

    /// Names of the kernel's functions.
    pub(super) fn functions(&self) -> impl Iterator<Item = &str> {
        const FUNC: u32 = 12;
        self.offsets
            .iter()
            .filter_map(|at| {
                let at = *at as usize;
                let info = read(self.data, at + 4)?;
                let name = string(self.strings, read(self.data, at)?);
                (info >> 24 & 0x1f == FUNC).then_some(name)
            })
            .filter_map(|name| std::str::from_utf8(name).ok())
    }
}

fn read(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

fn string(strings: &[u8], at: u32) -> &[u8] {
    let rest = strings.get(at as usize..).unwrap_or(&[]);
    rest.split(|byte| *byte == 0).next().unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{BtfError, Types};

    /// BTF of `struct outer { int a; union { struct inner in; }; int flag : 1; }` with
    /// `struct inner { int x; const int y; }`.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0inner\0x\0y\0outer\0a\0in\0flag\0bpf_lsm_file_open\0";
        let at = |name: &str| {
            let found = strings.windows(name.len() + 2).position(|window| {
                window[0] == 0
                    && &window[1..=name.len()] == name.as_bytes()
                    && window.ends_with(b"\0")
            });
            found.map_or(0, |at| at as u32 + 1)
        };
        let info = |kind: u32, vlen: u32, bits: u32| bits << 31 | kind << 24 | vlen;
        #[rustfmt::skip]
        let types: Vec<u32> = vec![
            at("int"), info(1, 0, 0), 4, 32,                              // 1: int
            0, info(10, 0, 0), 1,                                         // 2: const int
            at("inner"), info(4, 2, 0), 8, at("x"), 1, 0, at("y"), 2, 32, // 3: struct inner
            0, info(5, 1, 0), 8, at("in"), 3, 0,                          // 4: anonymous union
            at("outer"), info(4, 3, 1), 16,                               // 5: struct outer
            at("a"), 1, 0, 0, 4, 32, at("flag"), 1, (1 << 24) + 97,
            0, info(13, 0, 0), 0,                                         // 6: a prototype
            at("bpf_lsm_file_open"), info(12, 0, 0), 6,                   // 7: a function
        ];
        let mut bytes = Vec::new();
        let length = types.len() as u32 * 4;
        for word in [0x0001_eb9f, 24, 0, length, length, strings.len() as u32] {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend(types.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn members_are_found_through_anonymous_unions_and_bit_fields() {
        let bytes = sample();
        let types = Types::parse(&bytes).unwrap();
        assert_eq!(types.bit_offset("outer", "a"), Ok(0));
        assert_eq!(types.bit_offset("outer", "in.y"), Ok(64));
        assert_eq!(types.bit_offset("outer", "flag"), Ok(97));
        assert_eq!(types.lsm_hooks().collect::<Vec<_>>(), ["file_open"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let bytes = sample();
        let types = Types::parse(&bytes).unwrap();
        assert_eq!(
            types.bit_offset("outer", "in.z").unwrap_err().to_string(),
            "the kernel's `struct outer` has no member `in.z`"
        );
        assert_eq!(
            types.bit_offset("dentry", "d_sb"),
            Err(BtfError::NoStructure("dentry".to_owned()))
        );
    }

    proptest! {
        #[test]
        fn damaged_data_never_panics(at in 0..256_usize, byte: u8, length in 0..256_usize) {
            let mut bytes = sample();
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            bytes.truncate(length);
            if let Ok(types) = Types::parse(&bytes) {
                let _ = types.bit_offset("outer", "in.y");
                let _ = types.lsm_hooks().count();
            }
        }
    }
}
