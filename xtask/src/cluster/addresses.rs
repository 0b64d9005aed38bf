//! Who has which address. All clusters have the same ones: each is in a network of its own.

use std::net::Ipv4Addr;

/// The bridge's, where the servers listen.
pub(super) const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The API server's.
pub(super) const API_PORT: u16 = 6443;
/// Services; the first is the API server.
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// The API server's, as pods know it.
pub(super) const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// A node's number, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeNumber(pub(super) u8);

impl NodeNumber {
    /// How many nodes a cluster may have.
    pub(super) const MAX: u8 = 200;

    pub(super) fn name(self) -> String {
        format!("node-{}", self.0)
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        let number = name.strip_prefix("node-")?.parse().ok()?;
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }

    pub(super) fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 10 + self.0)
    }

    /// The addresses of its pods.
    pub(super) fn pods(self) -> String {
        format!("10.244.{}.0/24", self.0)
    }

    /// The name of its network device on the host.
    pub(super) fn tap(self) -> String {
        format!("tap{}", self.0)
    }

    /// The hardware address of its network device.
    pub(super) fn hardware_address(self) -> String {
        format!("52:54:00:77:00:{:02x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_known_by_name() {
        assert_eq!(NodeNumber::of_name("node-2"), Some(NodeNumber(2)));
        assert_eq!(NodeNumber::of_name("node-0"), None);
        assert_eq!(NodeNumber::of_name("kubelet"), None);
        assert_eq!(NodeNumber(NodeNumber::MAX).address().octets()[3], 210);
    }
}
