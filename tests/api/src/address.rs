//! An address on the loopback interface that nobody else uses.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};

/// Held while the address is in use, so that clusters of other processes see it.
const CLAIM_PORT: u16 = 6442;
const ATTEMPTS: u32 = 1000;

/// A loopback address, claimed until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) ip: Ipv4Addr,
    _claim: TcpListener,
}

impl Address {
    /// Claims the first free one. Where to start depends on the process, so that two of
    /// them seldom try the same.
    pub(crate) fn claim() -> Result<Self> {
        let start = std::process::id().wrapping_mul(ATTEMPTS);
        for attempt in 0..ATTEMPTS {
            // 127.0.x.y is left to others; .0 and .255 are unusual.
            let number = start.wrapping_add(attempt);
            let octet = |shift: u32, modulus: u32| (number / shift % modulus + 1).to_le_bytes()[0];
            let ip = Ipv4Addr::new(127, octet(254 * 254, 254), octet(254, 254), octet(1, 254));
            if let Ok(claim) = TcpListener::bind((ip, CLAIM_PORT)) {
                return Ok(Self { ip, _claim: claim });
            }
        }
        bail!("no loopback address has its port {CLAIM_PORT} free");
    }
}
