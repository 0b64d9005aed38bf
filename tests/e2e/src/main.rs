//! Tests against a real kernel: the program that runs inside a guest.
//!
//! ```text
//! cargo xtask e2e ──► bartizan-e2e list               on the host: which guests to boot
//!        └─► guest ──► bartizan-e2e run --guest G     one boot for all cases of that guest
//!                           └──► bartizan-e2e case NAME     each in a process of its own
//!                                     └──► probe ...        in containers that it makes
//! ```
//! A case in its own process can be ended when it hangs, and can't disturb the next one.
//! It is no `#[test]`: the host has no way to run it (`cargo xtask e2e` does).
#![expect(clippy::print_stdout, reason = "results go to standard output")]
#![expect(clippy::print_stderr, reason = "misuse is reported on standard error")]

mod agent;
mod api_server;
mod attributes;
mod case;
mod cases;
mod container;
mod kernel;
mod pod;
mod probe;
mod process;
mod runner;
mod runtime;
mod stage;
mod standalone;
mod wait;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list", filter] => runner::list(filter),
        ["run", guest, filter, except @ ..] => runner::run(guest, filter, except),
        ["case", name] => runner::run_one(name),
        ["probe", rest @ ..] => probe::main(rest),
        ["pod", rest @ ..] => stage::main(rest),
        ["runtime", rest @ ..] => runtime::main(rest),
        ["api-server", folder] => api_server::main(folder),
        _ => {
            eprintln!("usage: bartizan-e2e list FILTER | run GUEST FILTER [EXCEPT]... | case NAME");
            ExitCode::from(2)
        }
    }
}
