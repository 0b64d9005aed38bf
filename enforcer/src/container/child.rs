//! The container's first process, from the fork to the exec of its command.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

use rustix::fs::{Access, access};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::{ContainerError, Spec, filesystem};

/// Child to parent: everything is in place.
pub(super) const READY: u8 = b'R';
/// Child to parent: a failure follows (errno, 4 bytes; the step's text).
const FAILED: u8 = b'F';
/// Parent to child: go on.
pub(super) const GO: u8 = b'G';

/// Where commands are looked for if `PATH` isn't set.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What failed and why.
pub(super) type Failure = (String, io::Error);

/// Runs the child's side; ends in the command or in `exit`.
pub(super) fn main(spec: &Spec, procs: &File, mut report: PipeWriter, go: PipeReader) -> ! {
    let (step, error) = match prepare(spec, procs, &mut report, go) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let code = if error.kind() == io::ErrorKind::NotFound {
        127
    } else {
        126
    };
    let _ = report.write_all(&encode_failure(&step, &error));
    exit(code)
}

fn prepare(
    spec: &Spec,
    mut procs: &File,
    report: &mut PipeWriter,
    mut go: PipeReader,
) -> Result<std::convert::Infallible, Failure> {
    let failed = |step: &str| {
        let step = step.to_owned();
        move |error: io::Error| (step, error)
    };
    // What is enforced ends with the enforcer; so must what runs under it.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| failed("tie the container to the enforcer")(error.into()))?;
    filesystem::set_up(spec.root.as_deref())?;
    let program = find(&spec.command[0], std::env::var_os("PATH"));
    report
        .write_all(&[READY])
        .map_err(failed("report to the enforcer"))?;
    let mut answer = [0];
    go.read_exact(&mut answer)
        .map_err(failed("hear from the enforcer"))?;
    let run = format!("run {}", spec.command[0].display());
    let program = program.map_err(failed(&run))?;
    // "0" is whoever writes, in any pid namespace.
    procs.write_all(b"0").map_err(failed("enter the cgroup"))?;
    let mut command = Command::new(&program);
    command.arg0(&spec.command[0]).args(&spec.command[1..]);
    Err((run, command.exec()))
}

/// Looks a command up as a shell does, before it is judged: only the command itself is
/// to be tried in the kernel.
fn find(command: &OsStr, path: Option<OsString>) -> io::Result<PathBuf> {
    if command.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(command));
    }
    let path = path.unwrap_or_else(|| DEFAULT_PATH.into());
    let mut result = io::Error::from_raw_os_error(libc::ENOENT);
    for directory in std::env::split_paths(&path) {
        let directory = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &directory
        };
        let candidate = directory.join(command);
        match access(&candidate, Access::EXEC_OK) {
            Ok(()) if candidate.is_file() => return Ok(candidate),
            Err(error) if error == rustix::io::Errno::ACCESS => result = error.into(),
            _ => {}
        }
    }
    Err(result)
}

fn encode_failure(step: &str, error: &io::Error) -> Vec<u8> {
    let mut bytes = vec![FAILED];
    bytes.extend(error.raw_os_error().unwrap_or(libc::EIO).to_le_bytes());
    bytes.extend(step.as_bytes());
    bytes
}

/// What [`encode_failure`] wrote, its first byte taken off.
pub(super) fn decode_failure(bytes: &[u8]) -> Option<ContainerError> {
    let (errno, step) = bytes.split_first_chunk::<4>()?;
    Some(ContainerError::Setup {
        step: String::from_utf8_lossy(step).into_owned(),
        source: io::Error::from_raw_os_error(i32::from_le_bytes(*errno)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_survives_the_pipe() {
        let error = io::Error::from_raw_os_error(libc::EACCES);
        let bytes = encode_failure("run apt", &error);
        assert_eq!(bytes[0], FAILED);
        let Some(ContainerError::Setup { step, source }) = decode_failure(&bytes[1..]) else {
            panic!("not decoded");
        };
        assert_eq!(
            (step.as_str(), source.raw_os_error()),
            ("run apt", Some(libc::EACCES))
        );
        assert!(decode_failure(&bytes[1..4]).is_none());
    }

    #[test]
    fn a_command_with_a_slash_is_taken_as_it_is() {
        let found = find(OsStr::new("./nope"), None).unwrap();
        assert_eq!(found, Path::new("./nope"));
    }

    #[test]
    fn a_command_is_found_on_the_path_if_it_is_executable() {
        let path = Some(OsString::from("/nonexistent:/proc:/bin"));
        let found = find(OsStr::new("sh"), path.clone()).unwrap();
        assert_eq!(found, Path::new("/bin/sh"));
        // A directory is executable and still no command.
        let error = find(OsStr::new("self"), path.clone()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        // /proc/version is no program.
        assert!(find(OsStr::new("version"), path).is_err());
    }
}
