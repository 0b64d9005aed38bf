//! Waiting until the kernel has settled after its boot.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::operation::measure;

/// The same loop takes half as long again in the first seconds after a boot.
const WARM_UP: Duration = Duration::from_secs(6);
/// Until a guest that never settles is given up.
const PATIENCE: Duration = Duration::from_mins(1);
/// Change between measurements of a settled kernel.
const DRIFT: f64 = 0.005;
/// Equal measurements in a row of a settled kernel, after the first.
const EQUAL: usize = 2;

/// Waits until an operation costs the same each time.
pub(crate) fn settle(what: &str) -> Result<()> {
    let start = Instant::now();
    std::thread::sleep(WARM_UP);
    let mut last = measure(what)?;
    let mut equal = 0;
    while equal < EQUAL {
        if start.elapsed() > PATIENCE {
            bail!("the kernel has not settled in a minute (last: {last:.1} ns)");
        }
        let now = measure(what)?;
        equal = if (now - last).abs() <= last * DRIFT {
            equal + 1
        } else {
            0
        };
        last = now;
    }
    Ok(())
}
