//! Tests against a real cluster, with nothing simulated between kubectl and the kernel.
//!
//! ```text
//! cargo xtask cluster-test ──► a cluster, images ──► bartizan-cluster-tests [FILTER [EXCEPT]]
//!                                                        └──► kubectl
//! ```
//! All cases share one cluster, in which the first ones install Bartizan. Each has its own
//! namespaces and leaves nothing behind that the next one would notice. A case is no
//! `#[test]`, because one that needs a cluster can't run without the command above.
#![expect(clippy::print_stdout, reason = "results go to standard output")]
#![expect(clippy::print_stderr, reason = "misuse is reported on standard error")]

mod burst;
mod case;
mod cases;
mod cluster;
mod hammer;
mod kubectl;
mod metrics;
mod proxy;
mod relay;
mod wait;

use std::process::ExitCode;
use std::time::Instant;

use case::{Case, Context};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let filter = arguments.next().unwrap_or_default();
    let except = arguments.next();
    let context = match Context::of_environment() {
        Ok(context) => context,
        Err(error) => {
            eprintln!("bartizan-cluster-tests: {error:#}");
            return ExitCode::from(2);
        }
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    // What installs Bartizan is run whatever the filter is.
    let wanted = |case: &Case| {
        let is_left_out = except.as_ref().is_some_and(|text| case.name.contains(text));
        let is_meant = case.name.contains(&filter) && !is_left_out;
        case.layouts.contains(&context.layout) && (case.is_needed || is_meant)
    };
    for case in cases::all().into_iter().filter(wanted) {
        if case.is_long && !context.is_long {
            skipped += 1;
            println!("skip {}: it is for --long", case.name);
            continue;
        }
        let start = Instant::now();
        let result = (case.run)(&context);
        let took = start.elapsed().as_secs_f32();
        match result {
            Ok(()) => {
                passed += 1;
                println!("ok {} ({took:.1} s)", case.name);
            }
            Err(error) => {
                failed += 1;
                let reason = format!("{error:#}").replace('\n', "\n    ");
                println!("FAIL {} ({took:.1} s): {reason}", case.name);
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0))
}
