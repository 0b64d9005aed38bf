//! `bartizan-enforcer uninstall`: nothing of `node` is left on the machine.

use anyhow::Context as _;

use crate::args::Uninstall;
use crate::bpf;
use crate::failure::Failure;
use crate::node::copies;

/// Removes everything and says what.
#[expect(
    clippy::print_stdout,
    reason = "what was removed is the command's answer"
)]
pub fn run(args: &Uninstall) -> Result<u8, Failure> {
    let (pins, state) = (&args.traces.pins, &args.traces.state);
    match bpf::remove_pinned(pins)? {
        Some(removed) => println!(
            "removed {}: {} links and {} maps of {} versions; nothing is enforced any more",
            pins.display(),
            removed.links,
            removed.maps,
            removed.versions
        ),
        None => println!("nothing was in the kernel: there is no {}", pins.display()),
    }
    let was_there =
        copies::remove(state).with_context(|| format!("cannot remove {}", state.display()))?;
    if was_there {
        println!("removed the copies in {}", state.display());
    } else {
        println!("no copies were kept in {}", state.display());
    }
    Ok(0)
}
