//! Rules of the four categories.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What every rule may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleHead {
    /// A name for reports, unique in the policy: lower-case letters, digits and `-`.
    /// Left out: the rule's place, such as `deny[0]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        extend("x-kubernetes-validations" = [{
            "rule": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "message": "no name of a rule: at most 63 lower-case letters, digits and `-`, \
                        a letter or digit at both ends",
        }])
    )]
    pub name: Option<String>,
    /// Only when the calling executable matches one of these patterns. Left out: any caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), inner(length(min = 1, max = 4096)), extend("x-kubernetes-list-type" = "atomic"))]
    pub from: Option<Vec<String>>,
    /// Not when the calling executable matches one of these patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), inner(length(min = 1, max = 4096)), extend("x-kubernetes-list-type" = "atomic"))]
    pub except_from: Option<Vec<String>>,
}

/// A rule about programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessRule {
    /// Name and callers.
    #[serde(flatten)]
    pub head: RuleHead,
    /// Patterns of the programs: `/usr/bin/apt*`, `/opt/tools/**`, `**/curl`.
    #[schemars(length(min = 1, max = 4096), inner(length(min = 1, max = 4096)), extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Vec<String>,
}

/// A rule about files and directories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileRule {
    /// Name and callers.
    #[serde(flatten)]
    pub head: RuleHead,
    /// Patterns of the files: `/etc/shadow`, `/etc/**`, `**/*.key`.
    #[schemars(length(min = 1, max = 4096), inner(length(min = 1, max = 4096)), extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Vec<String>,
    /// What is done to them. `Write` also means `Append` and `Truncate`, `Delete` also
    /// means `Rename`. Left out: everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub operations: Option<Vec<FileOperation>>,
    /// Not when the calling process owns the file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unless_owner: bool,
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FileOperation {
    /// Opened for reading; a directory is listed.
    Read,
    /// Opened for writing, appending included; cut.
    Write,
    /// Opened for appending.
    Append,
    /// Cut, on opening or later.
    Truncate,
    /// A name is made: file, directory, node, symbolic link, the new end of a link or rename.
    Create,
    /// A name is removed: unlink, rmdir, the old end of a rename, a file that is replaced.
    Delete,
    /// Moved away from its name.
    Rename,
    /// Given a second name by a hard link.
    Link,
    /// Its mode is changed.
    Chmod,
    /// Its owner or group is changed.
    Chown,
}

/// A rule about sockets: `sockets`, or `unix` with or without `operations`, or any of
/// `operations`, `protocols`, `addresses` and `ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!has(self.sockets) || !(has(self.operations) || has(self.protocols) \
                 || has(self.addresses) || has(self.ports) || has(self.unix))",
        "message": "`operations`, `protocols`, `addresses`, `ports` and `unix` are about \
                    addresses and `sockets` about creating sockets: write two rules",
    },
    {
        "rule": "!has(self.unix) || !(has(self.protocols) || has(self.addresses) \
                 || has(self.ports))",
        "message": "`protocols`, `addresses` and `ports` are about IP addresses and `unix` \
                    about Unix sockets: write two rules",
    },
]))]
pub struct NetworkRule {
    /// Name and callers.
    #[serde(flatten)]
    pub head: RuleHead,
    /// What is done with the address. `Bind` also means `Listen` and `Accept`. Left out:
    /// everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5), extend("x-kubernetes-list-type" = "atomic"))]
    pub operations: Option<Vec<NetworkOperation>>,
    /// Protocols. Left out: every protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4), extend("x-kubernetes-list-type" = "atomic"))]
    pub protocols: Option<Vec<IpProtocol>>,
    /// Addresses and CIDRs, such as `10.0.0.0/8`, `192.0.2.7` or `fd00::/8`. Left out:
    /// every address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16384), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub addresses: Option<Vec<String>>,
    /// Ports, `443`, and ranges, `"8000-8100"`. Left out: every port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), extend("x-kubernetes-list-type" = "atomic"))]
    pub ports: Option<Vec<Port>>,
    /// Unix sockets instead of IP addresses: patterns of the paths of their files, such as
    /// `/run/docker.sock` or `/run/**`, and abstract names, `@com.example.bus`, or all that
    /// begin with one, `@com.example*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), inner(length(min = 1, max = 4096)), extend("x-kubernetes-list-type" = "atomic"))]
    pub unix: Option<Vec<String>>,
    /// Creation of sockets, by address family or by the type of an IP socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), extend("x-kubernetes-list-type" = "atomic"))]
    pub sockets: Option<Vec<Socket>>,
}

/// What is done with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NetworkOperation {
    /// A socket is connected to it.
    Connect,
    /// A socket is bound to it, and then listens and accepts there.
    Bind,
    /// A message is sent to it from a socket that isn't connected.
    Send,
    /// Connections to it are waited for, by the socket that has it.
    Listen,
    /// A connection to it is taken, by the socket that has it.
    Accept,
}

/// An IP protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpProtocol {
    /// TCP and MPTCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP and UDP-Lite.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
    /// Ping sockets, IPv4 and IPv6.
    #[serde(rename = "ICMP")]
    Icmp,
}

/// A port, or a range of ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Port {
    /// One port as a number.
    Number(i64),
    /// `"443"` or `"8000-8100"`.
    Text(String),
}

impl JsonSchema for Port {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A port (`443`) or a range of ports (`\"8000-8100\"`).",
            "x-kubernetes-int-or-string": true,
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
        })
    }
}

/// A kind of socket: an address family, or a type of IPv4 and IPv6 sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Socket {
    /// Family: local sockets.
    Unix,
    /// Family: IPv4.
    Inet,
    /// Family: IPv6.
    Inet6,
    /// Family: talking to the kernel.
    Netlink,
    /// Family: raw frames of a network interface.
    Packet,
    /// Family: virtual machine and host.
    Vsock,
    /// Family: Bluetooth.
    Bluetooth,
    /// Family: the kernel's cryptography.
    Alg,
    /// Family: `AF_XDP`.
    Xdp,
    /// Family: controller area network.
    Can,
    /// Family: TIPC.
    Tipc,
    /// Family: RDS.
    Rds,
    /// Family: kernel connection multiplexor.
    Kcm,
    /// Family: shared memory communications.
    Smc,
    /// Family: Qualcomm IPC router.
    Qipcrtr,
    /// Family: `PF_KEY`.
    Key,
    /// Type: TCP and the like.
    Stream,
    /// Type: UDP and the like.
    Datagram,
    /// Type: raw IP packets.
    Raw,
    /// Type: SCTP with messages.
    SeqPacket,
}

/// A rule about capabilities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapabilityRule {
    /// Name and callers.
    #[serde(flatten)]
    pub head: RuleHead,
    /// Names without `CAP_`: `NET_RAW`, `SYS_ADMIN`.
    #[schemars(
        length(min = 1, max = 41),
        inner(length(min = 1, max = 32)),
        extend("x-kubernetes-list-type" = "atomic"),
        extend("x-kubernetes-validations" = [{
            "rule": "!self.exists(name, name.startsWith('CAP_'))",
            "message": "capabilities are written without `CAP_`",
        }])
    )]
    pub capabilities: Vec<String>,
}
