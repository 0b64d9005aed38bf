//! Writes the archive format that kernels unpack as their first file system ("newc").
//!
//! Uncompressed on purpose: an emulated CPU inflates far slower than QEMU copies.

use std::io::{self, Write};

/// Type bits of a mode.
pub(super) const DIRECTORY: u32 = 0o040_000;
/// A regular file.
pub(super) const FILE: u32 = 0o100_000;
/// A symbolic link; its content is the target.
pub(super) const SYMLINK: u32 = 0o120_000;

/// What the archive says about one file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meta {
    /// Type and permission bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Major and minor number, of devices only.
    pub(super) device: (u32, u32),
}

/// An archive that is being written.
pub(super) struct Archive<W> {
    out: W,
    written: u64,
    inode: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            written: 0,
            inode: 0,
        }
    }

    /// Adds one file under a path without a leading slash.
    pub(super) fn add(&mut self, path: &str, meta: Meta, content: &[u8]) -> io::Result<()> {
        self.inode += 1;
        self.entry(path, meta, 1, content)
    }

    /// Adds one regular file under several names. The content goes with the first: the
    /// kernel links every later name with the same inode number to it.
    pub(super) fn add_links(
        &mut self,
        paths: &[&str],
        meta: Meta,
        content: &[u8],
    ) -> io::Result<()> {
        self.inode += 1;
        for (at, path) in paths.iter().enumerate() {
            let content = if at == 0 { content } else { &[] };
            self.entry(path, meta, paths.len(), content)?;
        }
        Ok(())
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.inode = 0;
        self.entry("TRAILER!!!", Meta::default(), 1, &[])?;
        self.out.flush()
    }

    fn entry(&mut self, path: &str, meta: Meta, links: usize, content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len())
            .map_err(|_too_big| io::Error::other(format!("{path} is larger than 4 GiB")))?;
        let fields = [
            self.inode,
            meta.mode,
            meta.uid,
            meta.gid,
            links as u32,
            0, // time
            size,
            0, // device the file is on
            0,
            meta.device.0,
            meta.device.1,
            path.len() as u32 + 1,
            0, // checksum, unused
        ];
        self.write(b"070701")?;
        for field in fields {
            self.write(format!("{field:08X}").as_bytes())?;
        }
        self.write(path.as_bytes())?;
        self.write(&[0])?;
        self.align()?;
        self.write(content)?;
        self.align()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Header and content start at multiples of four.
    fn align(&mut self) -> io::Result<()> {
        let padding = self.written.wrapping_neg() % 4;
        self.write(&[0; 3][..padding as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_aligned_to_four_bytes() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        let meta = Meta {
            mode: FILE | 0o644,
            ..Meta::default()
        };
        archive.add("a", meta, b"12345").unwrap();
        archive.finish().unwrap();
        // 110 header bytes and "a\0" are 112; 5 bytes of content are padded to 8.
        assert_eq!(&bytes[112..120], b"12345\0\0\0");
        assert_eq!(&bytes[120..126], b"070701");
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn linked_names_share_an_inode_and_one_copy_of_the_content() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        let meta = Meta {
            mode: FILE | 0o755,
            ..Meta::default()
        };
        archive.add_links(&["ls", "cp"], meta, b"busy").unwrap();
        archive.finish().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("busy").count(), 1);
        assert_eq!(text.matches("07070100000001000081ED").count(), 2);
    }
}
