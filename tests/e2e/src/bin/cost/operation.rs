//! The operations, as bare as they can be made: one system call each, nothing allocated.

use std::ffi::CString;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use crate::clock::median;

/// The same loop takes half as long again in the first seconds after a boot.
const WARM_UP: Duration = Duration::from_secs(6);
/// Until a guest that never settles is given up.
const PATIENCE: Duration = Duration::from_mins(1);
/// Change between measurements of a settled kernel.
const DRIFT: f64 = 0.005;
/// Equal measurements in a row of a settled kernel, after the first.
const EQUAL: usize = 2;
/// Nobody listens there; connecting a UDP socket doesn't ask.
const PORT: u16 = 4433;

/// Nanoseconds of one `open` for reading and one `close`.
pub(crate) fn open_and_close(path: &str) -> Result<f64> {
    let name = CString::new(path)?;
    median(|| open(&*name, OFlags::RDONLY, Mode::empty()).map(drop))
        .with_context(|| format!("can't open {path}"))
}

/// Nanoseconds of one `connect` of a UDP socket.
pub(crate) fn connect() -> Result<f64> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let to = SocketAddr::from(([127, 0, 0, 1], PORT));
    median(|| rustix::net::connect(&socket, &to)).context("can't connect")
}

/// Waits until opening `path` costs the same each time.
pub(crate) fn settle(path: &str) -> Result<()> {
    let start = Instant::now();
    std::thread::sleep(WARM_UP);
    let mut last = open_and_close(path)?;
    let mut equal = 0;
    while equal < EQUAL {
        if start.elapsed() > PATIENCE {
            bail!("the kernel has not settled in a minute (last: {last:.1} ns)");
        }
        let now = open_and_close(path)?;
        equal = if (now - last).abs() <= last * DRIFT {
            equal + 1
        } else {
            0
        };
        last = now;
    }
    Ok(())
}

/// Whether opening a file, or connecting to an address, is refused by a policy.
pub(crate) fn is_denied(target: &str) -> Result<bool> {
    let tried = match target.parse::<IpAddr>() {
        Ok(address) => {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            rustix::net::connect(&socket, &SocketAddr::from((address, PORT)))
        }
        Err(_) => open(target, OFlags::RDONLY, Mode::empty()).map(drop),
    };
    match tried {
        Ok(()) => Ok(false),
        Err(Errno::ACCESS | Errno::PERM) => Ok(true),
        Err(error) => Err(error).context("it failed for another reason"),
    }
}
