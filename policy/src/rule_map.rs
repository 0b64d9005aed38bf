//! The linked rules of one kind of container: what the compiler, the reference
//! evaluator and `explain` all start from.
//!
//! A rule map has no conflicts by construction: deny beats allow beats default,
//! and the order of its rules only decides which of several denying rules is named.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use bartizan_abi::op::{Category, Operation, Ops};

use crate::pattern::Pattern;
use crate::unix::AbstractName;

/// Whether a policy blocks or only reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Denials are enforced.
    Enforce,
    /// A dry run.
    Audit,
}

/// The policy a rule is from, for attribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Namespace of a `SecurityPolicy`; `None` for a `ClusterSecurityPolicy`.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// Enforce or Audit.
    pub mode: Mode,
    /// 1..=10.
    pub severity: Option<u8>,
    /// Free text carried into denials.
    pub message: Option<String>,
    /// Free words carried into denials.
    pub tags: Vec<String>,
}

impl PolicyInfo {
    /// `namespace/name`, or `name` for a cluster policy: how reports name it.
    pub fn reference(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// What a matching rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Allows, against a default of Deny.
    Allow,
    /// Denies.
    Deny,
    /// Reports.
    Audit,
    /// Denies what no rule allows; its [`Matcher`] is [`Matcher::Default`].
    DefaultDeny,
}

/// A socket address rule's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP and MPTCP.
    Tcp,
    /// UDP and UDP-Lite.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP and `ICMPv6` (ping sockets).
    Icmp,
}

/// An address range in CIDR form. IPv4-mapped IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// Network address; bits behind the prefix are zero.
    pub address: IpAddr,
    /// Prefix length in bits, 0..=32 or 0..=128.
    pub prefix: u8,
}

/// Sockets by what `socket(2)` is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SocketKind {
    /// Any socket of an address family (`AF_*` number).
    Family(u8),
    /// IPv4 or IPv6 sockets of a type (`SOCK_*` number). `Raw` means raw IP: netlink
    /// and packet sockets are told apart from it by their families.
    IpType(u8),
}

/// What a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// Programs by path: operations Exec and, for deny and audit rules, Map.
    Process {
        /// Any of them matches.
        paths: Vec<Pattern>,
    },
    /// Files by path.
    Files {
        /// Any of them matches.
        paths: Vec<Pattern>,
        /// Operations as written, groups resolved (`Write` covers Append and
        /// Truncate, `Delete` covers Rename).
        operations: Ops,
    },
    /// IP sockets by address.
    Network {
        /// Of [`bartizan_abi::op::ADDRESS_OPS`].
        operations: Ops,
        /// Empty: every protocol.
        protocols: Vec<Protocol>,
        /// Empty: every address.
        addresses: Vec<Cidr>,
        /// Empty: every port.
        ports: Vec<RangeInclusive<u16>>,
    },
    /// Unix sockets by name.
    Unix {
        /// Of [`bartizan_abi::op::ADDRESS_OPS`].
        operations: Ops,
        /// Paths of their files; any of these or of `names` matches.
        paths: Vec<Pattern>,
        /// Abstract names.
        names: Vec<AbstractName>,
    },
    /// Creation of sockets.
    Sockets {
        /// Any of them matches.
        kinds: Vec<SocketKind>,
    },
    /// Capabilities by number.
    Capabilities {
        /// Any of them matches.
        capabilities: Vec<u8>,
    },
    /// An operation of [`Category::Restrict`], whatever it is done to.
    Restrict(Operation),
    /// Everything of a category (only with [`Effect::DefaultDeny`]).
    Default(Category),
}

impl Matcher {
    /// The category whose default such a rule is an exception to.
    pub fn category(&self) -> Category {
        match self {
            Self::Process { .. } => Category::Process,
            Self::Files { .. } => Category::Files,
            Self::Network { .. } | Self::Unix { .. } | Self::Sockets { .. } => Category::Network,
            Self::Capabilities { .. } => Category::Capabilities,
            Self::Restrict(_) => Category::Restrict,
            Self::Default(category) => *category,
        }
    }
}

/// One rule; its position in [`RuleMap::rules`] is its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Index into [`RuleMap::policies`].
    pub policy: usize,
    /// The name it was given, else its place: `process.deny[0]`, `files.default`.
    pub name: String,
    /// What it does.
    pub effect: Effect,
    /// What it matches.
    pub matcher: Matcher,
    /// Only when the calling executable is one of these. Empty: any caller.
    pub from: Vec<Pattern>,
    /// Not when the calling executable is one of these.
    pub except_from: Vec<Pattern>,
    /// Not when the caller owns the file.
    pub unless_owner: bool,
}

/// All rules that hold for one kind of container, in canonical order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleMap {
    /// Sorted by kind, namespace and name.
    pub policies: Vec<PolicyInfo>,
    /// Sorted by policy, then as written.
    pub rules: Vec<Rule>,
}

impl RuleMap {
    /// The mode of the policy a rule is from.
    pub fn mode(&self, rule: &Rule) -> Mode {
        self.policies[rule.policy].mode
    }
}
