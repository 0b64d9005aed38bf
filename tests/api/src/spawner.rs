//! Starts processes that die with this one, however it ends.
//!
//! The kernel's parent-death signal is tied to the *thread* that started the child, and
//! every test has a thread of its own. So one thread that lives as long as the process
//! starts them all.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

type Order = (Command, Sender<io::Result<Child>>);

/// Starts a process that gets SIGKILL when this one ends.
pub(crate) fn spawn(mut command: Command) -> io::Result<Child> {
    let parent = std::process::id();
    let tie = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the signal was asked for.
        match getppid() {
            Some(pid) if pid.as_raw_nonzero().get().cast_unsigned() == parent => Ok(()),
            _ => Err(io::Error::other("the test has ended")),
        }
    };
    // SAFETY: the closure only makes two system calls, allocates nothing unless it fails,
    // and takes no locks, so it may run between fork and exec.
    unsafe { command.pre_exec(tie) };
    let (answer, result) = channel();
    let gone = |_| io::Error::other("the thread that starts processes is gone");
    orders()
        .send((command, answer))
        .map_err(|error| gone(error.to_string()))?;
    result.recv().map_err(|error| gone(error.to_string()))?
}

fn orders() -> &'static Sender<Order> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    ORDERS.get_or_init(|| {
        let (orders, received) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in received {
                // Whoever asked waits, so the answer is always received.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    })
}
