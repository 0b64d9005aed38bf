//! Attempts by many at once, and while names change.

use std::ffi::CString;
use std::path::Path;
use std::process::exit;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use rustix::fs::{self, CWD, RenameFlags};
use rustix::io::Errno;

use super::attempt::{SECRET, TOOL, have, read};
use super::{Failure, NOTHING, setup};

/// Generations of processes that each have two children.
const GENERATIONS: u32 = 8;
const THREADS: usize = 4;
const ROUNDS: usize = 200;
/// Two directories that no rule is about.
const ONE: &str = "/tmp/one";
const OTHER: &str = "/tmp/other-one";

/// Makes an attempt whose name begins with `crowd-`.
pub(super) fn perform(name: &str) -> Result<(), Failure> {
    match name {
        "crowd-forks" => forks(GENERATIONS),
        "crowd-exec-by-threads" => exec_by_threads(),
        "crowd-read-while-renamed" => while_renamed(),
        other => Err(Failure::Setup(format!("no attempt {other}"))),
    }
}

/// Reads, and has children that do the same; refused if everybody was.
fn forks(generations: u32) -> Result<(), Failure> {
    let mut own = read(SECRET);
    if generations == 0 {
        return own;
    }
    let mut children = Vec::new();
    for _ in 0..2 {
        // SAFETY: this process has one thread; the child ends itself.
        match unsafe { libc::fork() } {
            0 => exit(match forks(generations - 1) {
                Err(Failure::Refused(Errno::ACCESS)) => 0,
                Ok(()) => 1,
                Err(_) => 2,
            }),
            pid if pid > 0 => children.push(pid),
            _ => return Err(Failure::Setup("fork".to_owned())),
        }
    }
    for child in children {
        let mut status = 0;
        // SAFETY: the place of a number.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        match libc::WEXITSTATUS(status) {
            _ if !libc::WIFEXITED(status) => own = Err(Failure::Setup("a child died".to_owned())),
            0 => {}
            1 => return Ok(()),
            _ => own = Err(Failure::Setup("a child failed".to_owned())),
        }
    }
    own
}

/// Threads of one process, each of which wants it to become the tool; whoever may, ends all
/// others, and nothing answers.
fn exec_by_threads() -> Result<(), Failure> {
    let strings = [TOOL, NOTHING[0], NOTHING[1]].map(|word| CString::new(word).unwrap_or_default());
    let mut words: Vec<_> = strings.iter().map(|word| word.as_ptr()).collect();
    words.push(std::ptr::null());
    let words = words.as_ptr() as usize;
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| {
            scope.spawn(|| {
                start.wait();
                let mut last = Errno::ACCESS;
                for _ in 0..ROUNDS {
                    let words = words as *const *const libc::c_char;
                    // SAFETY: C strings, and NULL behind them, that live until all have ended.
                    unsafe { libc::execv(*words, words) };
                    let error = std::io::Error::last_os_error();
                    last = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    if last != Errno::ACCESS {
                        break;
                    }
                }
                last
            })
        });
        for thread in threads {
            match thread.join() {
                Ok(Errno::ACCESS) => {}
                Ok(other) => return Err(other.into()),
                Err(_) => return Err(Failure::Setup("a thread panicked".to_owned())),
            }
        }
        Err(Errno::ACCESS.into())
    })
}

/// Reads what is denied and what is allowed, while two directories change places; refused if
/// only the first was, always.
fn while_renamed() -> Result<(), Failure> {
    for directory in [ONE, OTHER] {
        have(directory)?;
        let file = Path::new(directory).join("file");
        let written = std::fs::write(file, "content");
        written.map_err(|error| Failure::Setup(format!("write: {error}")))?;
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let renaming = scope.spawn(|| {
            let exchange = || fs::renameat_with(CWD, ONE, CWD, OTHER, RenameFlags::EXCHANGE);
            let result = (0..5 * ROUNDS).try_for_each(|_| exchange());
            is_over.store(true, Relaxed);
            result
        });
        let mut result = Err(Failure::Refused(Errno::ACCESS));
        while !is_over.load(Relaxed) {
            match read(SECRET) {
                Err(Failure::Refused(Errno::ACCESS)) => {}
                other => result = other,
            }
            if let Err(failure) = read(&format!("{ONE}/file")) {
                let errno = match failure {
                    Failure::Refused(errno) => errno.to_string(),
                    Failure::Setup(step) => step,
                };
                result = Err(Failure::Setup(format!("what is allowed: {errno}")));
            }
        }
        match renaming.join() {
            Ok(renamed) => setup("rename", renamed)?,
            Err(_) => return Err(Failure::Setup("the thread panicked".to_owned())),
        }
        result
    })
}
