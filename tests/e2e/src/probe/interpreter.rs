//! Programs that are run as part of another: as its ELF interpreter, as that of files of a
//! kind of one's own (`binfmt_misc`), or as a library.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::thread::UnshareFlags;

use super::attempt::{TOOL, unshare};
use super::operation::exec;
use super::{Failure, NOTHING, setup};

/// The program that is made.
pub(crate) const THROUGH_INTERPRETER: &str = "/tmp/through-interpreter";
/// Where it is loaded; far from where the kernel puts interpreters.
const BASE: u64 = 0x40_0000;
const HEADER: u16 = 64;
const SEGMENT: u16 = 56;
const SEGMENTS: u16 = 2;

/// Runs [`TOOL`] as an interpreter. An exec that is refused so late can't go back to the
/// program that asked for it: the kernel ends it by SIGSEGV.
pub(super) fn run() -> Result<(), Failure> {
    let at = Path::new(THROUGH_INTERPRETER);
    let failed = |error: std::io::Error| Failure::Setup(format!("{}: {error}", at.display()));
    fs::write(at, program(TOOL)).map_err(failed)?;
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let status = Command::new(at).args(NOTHING).status().map_err(failed)?;
    match status.signal() {
        Some(libc::SIGSEGV) => Err(Errno::ACCESS.into()),
        _ if status.success() => Ok(()),
        _ => Err(Failure::Setup(format!("it ended with {status}"))),
    }
}

/// A library that may not be mapped.
pub(crate) const LIBRARY: &str = "/lib/denied.so";

/// Has the dynamic loader map [`LIBRARY`] into a program that may be run. It goes on without.
pub(super) fn preload() -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Setup(format!("run: {error}"));
    let mut command = Command::new("/bin/good-dynamic");
    let output = command
        .env("LD_PRELOAD", LIBRARY)
        .output()
        .map_err(failed)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) if complaint.is_empty() => Ok(()),
        Some(0) if complaint.contains("failed to map segment") => Err(Errno::ACCESS.into()),
        _ => Err(Failure::Setup(format!("{}: {complaint}", output.status))),
    }
}

/// Makes [`TOOL`] the interpreter of a kind of files, and runs one. With `misc-opened-before`
/// the kernel opens it when it is told of the kind (the flag `F`).
pub(super) fn misc(name: &str) -> Result<(), Failure> {
    const KINDS: &str = "/tmp/kinds";
    let at = Path::new("/tmp").join(name);
    let failed = |error: std::io::Error| Failure::Setup(format!("{name}: {error}"));
    unshare(UnshareFlags::NEWNS)?;
    fs::create_dir_all(KINDS).map_err(failed)?;
    let flags = MountFlags::empty();
    setup("mount", mount("none", KINDS, "binfmt_misc", flags, None))?;
    let (magic, flags) = match name {
        "misc" => ("BARTIZAN", ""),
        _ => ("BEFORE", "F"),
    };
    let kind = format!(":{name}:M::{magic}::{TOOL}:{flags}");
    fs::write(Path::new(KINDS).join("register"), kind).map_err(failed)?;
    fs::write(&at, magic).map_err(failed)?;
    fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let answer = exec(&at);
    fs::write(Path::new(KINDS).join(name), "-1").map_err(failed)?;
    answer
}

/// An ELF file with an interpreter and nothing to run.
fn program(interpreter: &str) -> Vec<u8> {
    let name = [interpreter.as_bytes(), b"\0"].concat();
    let start = u64::from(HEADER + SEGMENTS * SEGMENT);
    let length = name.len() as u64;
    let whole = start + length;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    file.resize(16, 0);
    let executable: [u16; 2] = [2, 62];
    file.extend(executable.into_iter().flat_map(u16::to_le_bytes));
    file.extend(1_u32.to_le_bytes());
    // Entry, segments, no sections.
    let places = [BASE + start, HEADER.into(), 0];
    file.extend(places.into_iter().flat_map(u64::to_le_bytes));
    file.extend(0_u32.to_le_bytes());
    let sizes = [HEADER, SEGMENT, SEGMENTS, 0, 0, 0];
    file.extend(sizes.into_iter().flat_map(u16::to_le_bytes));
    let (load, interpret, read, execute) = (1_u32, 3_u32, 4, 1);
    for (kind, flags, offset, size) in [
        (interpret, read, start, length),
        (load, read | execute, 0, whole),
    ] {
        file.extend([kind, flags].into_iter().flat_map(u32::to_le_bytes));
        let at = BASE + offset;
        let words = [offset, at, at, size, size, 0x1000];
        file.extend(words.into_iter().flat_map(u64::to_le_bytes));
    }
    file.extend(name);
    file
}
