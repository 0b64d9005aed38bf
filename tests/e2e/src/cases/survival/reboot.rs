//! A reboot while no API server answers: the kernel has nothing left, and the local copy
//! alone says what to enforce.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use bartizan_samples::SERVE;

use super::Node;
use crate::agent::{PINS, metric};
use crate::case::Context;
use crate::kernel;
use crate::pod::{Container, expect};
use crate::wait::eventually;

const DENIED: &str = "file read /data/shut";

pub(super) fn without_an_api_server(context: &Context) -> Result<()> {
    let mut node = Node::new(context)?;
    let agent = node.enforce()?;
    let _sandbox = node.container("5", &SERVE)?;
    let mut known = node.container("a", &SERVE)?;
    is_enforced(&mut known).context("before")?;
    eventually("pod and rule map are copied", || {
        Ok(node.place.copied()? == 2)
    })?;
    node.place.api.stop()?;
    agent.kill()?;
    // A reboot would end the container, too. That it goes on shows that nothing is enforced:
    // what is denied afterwards is denied by the next agent.
    fs::remove_dir_all(PINS).context(PINS)?;
    eventually("no program is left", || Ok(kernel::programs().is_empty()))?;
    expect(&mut known, DENIED, "0").context("without programs")?;

    let agent = node.enforce()?;
    eventually("it is denied again", || Ok(known.perform(DENIED)? == "13"))?;
    is_enforced(&mut known).context("a container from before")?;
    let mut new = node.container("b", &SERVE)?;
    is_enforced(&mut new).context("a new container")?;
    ensure!(
        metric("bartizan_api_synced")? == 0,
        "an API server has answered"
    );
    agent.end()
}

fn is_enforced(container: &mut Container) -> Result<()> {
    expect(container, DENIED, "13")?;
    expect(container, "file read /data/open", "0")?;
    expect(container, "exec /bin/other", "13")?;
    expect(container, "connect tcp 127.0.0.2:9", "1")
}
