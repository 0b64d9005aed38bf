//! Whether one rule matches one request.

use bartizan_abi::limits::{MAX_DEPTH, MAX_NAME};
use bartizan_abi::op::{ADDRESS_OPS, Category, FILE_OPS, MOVE_OPS, Operation, Ops, PROCESS_OPS};

use super::{address, path};
use crate::operation::{Caller, Name, Object, Request, UnixSocket};
use crate::pattern::Pattern;
use crate::rule_map::{Cidr, Effect, Matcher, Protocol, Rule, SocketKind};

/// Whether a rule, or a default, matches.
pub(super) fn matches(rule: &Rule, request: &Request) -> bool {
    if rule.unless_owner && matches!(request.object, Object::File { owned: true, .. }) {
        return false;
    }
    let operation = request.operation;
    let paths = match &rule.matcher {
        Matcher::Process { paths } | Matcher::Files { paths, .. } | Matcher::Unix { paths, .. } => {
            paths
        }
        Matcher::Network { .. }
        | Matcher::Sockets { .. }
        | Matcher::Capabilities { .. }
        | Matcher::Restrict(_) => {
            return object_matches(&rule.matcher, request) && caller_matches(rule, request);
        }
        Matcher::Default(category) => return default_covers(*category, request),
    };
    let (Object::File { name, .. } | Object::Unix(UnixSocket::Path(name))) = &request.object else {
        return object_matches(&rule.matcher, request) && caller_matches(rule, request);
    };
    let components = components(name);
    let at_it = match &components {
        Some(components) => paths
            .iter()
            .any(|pattern| path::matches(pattern, components)),
        None => paths.iter().any(path::is_everything),
    };
    if listed(&rule.matcher) & operation.bit() != 0 && at_it && caller_matches(rule, request) {
        return true;
    }
    // Nothing that a deny rule matches may be moved away from its name.
    let above_it =
        components.is_some_and(|directory| paths.iter().any(|p| path::is_ancestor(p, &directory)));
    rule.effect == Effect::Deny
        && !is_excepted(rule, request)
        && match operation {
            Operation::Rename => at_it || above_it,
            Operation::Link => at_it,
            _ => false,
        }
}

/// Whether a rule or default of a rule map can deny or report an operation.
pub(super) fn judges(rule: &Rule, operation: Operation) -> bool {
    let ops = match (rule.effect, &rule.matcher) {
        (Effect::Allow, _) => 0,
        (_, Matcher::Default(category)) => {
            return operation.category() == *category;
        }
        (Effect::Deny, Matcher::Process { .. } | Matcher::Files { .. } | Matcher::Unix { .. }) => {
            listed(&rule.matcher) | MOVE_OPS
        }
        (_, matcher) => listed(matcher),
    };
    ops & operation.bit() != 0
}

/// Whether the object has no name.
pub(super) fn object_is_unresolved(request: &Request) -> bool {
    match &request.object {
        Object::File { name, .. } | Object::Unix(UnixSocket::Path(name)) => {
            components(name).is_none()
        }
        Object::Unix(UnixSocket::Abstract(_))
        | Object::Address { .. }
        | Object::Socket { .. }
        | Object::Capability(_)
        | Object::Anything => false,
    }
}

/// The components of a name; `None` if it is, or counts as, unresolved.
fn components(name: &Name) -> Option<Vec<&[u8]>> {
    let Name::Path(path) = name else { return None };
    let components: Vec<&[u8]> = path
        .split(|&byte| byte == b'/')
        .filter(|component| !component.is_empty())
        .collect();
    let fits = components.len() <= MAX_DEPTH as usize
        && components
            .iter()
            .all(|component| component.len() <= MAX_NAME as usize);
    fits.then_some(components)
}

/// The operations that a rule lists.
fn listed(matcher: &Matcher) -> Ops {
    match matcher {
        Matcher::Process { .. } => PROCESS_OPS,
        Matcher::Files { operations, .. } => operations & FILE_OPS,
        Matcher::Network { operations, .. } | Matcher::Unix { operations, .. } => {
            operations & ADDRESS_OPS
        }
        Matcher::Sockets { .. } => Operation::Socket.bit(),
        Matcher::Capabilities { .. } => Operation::Capable.bit(),
        Matcher::Restrict(operation) => operation.bit(),
        Matcher::Default(_) => 0,
    }
}

/// Whether the object is what a rule that isn't about paths is about.
fn object_matches(matcher: &Matcher, request: &Request) -> bool {
    if listed(matcher) & request.operation.bit() == 0 {
        return false;
    }
    match (matcher, &request.object) {
        (
            Matcher::Network {
                protocols,
                addresses,
                ports,
                ..
            },
            Object::Address {
                protocol,
                address,
                port,
            },
        ) => {
            let address = address::judged(*address, request.operation);
            let is_protocol = |p: &Protocol| address::is_protocol(*p, *protocol);
            let is_in = |range: &Cidr| address::contains(*range, address);
            (protocols.is_empty() || protocols.iter().any(is_protocol))
                && (addresses.is_empty() || addresses.iter().any(is_in))
                && (ports.is_empty() || ports.iter().any(|range| range.contains(port)))
        }
        (Matcher::Unix { names, .. }, Object::Unix(UnixSocket::Abstract(bytes))) => {
            names.iter().any(|name| {
                if name.is_prefix() {
                    bytes.starts_with(name.bytes())
                } else {
                    bytes == name.bytes()
                }
            })
        }
        (Matcher::Sockets { kinds }, Object::Socket { family, kind }) => {
            kinds.iter().any(|wanted| match wanted {
                SocketKind::Family(wanted) => wanted == family,
                SocketKind::IpType(wanted) => wanted == kind && is_ip(*family),
            })
        }
        (Matcher::Capabilities { capabilities }, Object::Capability(number)) => {
            capabilities.contains(number)
        }
        (Matcher::Restrict(_), Object::Anything) => true,
        _ => false,
    }
}

/// Whether a default of Deny has a say.
fn default_covers(category: Category, request: &Request) -> bool {
    request.operation.category() == category
        && match (request.operation, &request.object) {
            // Or every shared library would have to be allowed.
            (Operation::Map, _) => object_is_unresolved(request),
            (Operation::Socket, Object::Socket { family, kind }) => {
                !is_judged_by_address_or_local(*family, *kind)
            }
            _ => true,
        }
}

/// `AF_INET`, `AF_INET6`.
fn is_ip(family: u8) -> bool {
    family == 2 || family == 10
}

/// IP stream and datagram sockets, Unix sockets, netlink sockets.
fn is_judged_by_address_or_local(family: u8, kind: u8) -> bool {
    (is_ip(family) && (kind == 1 || kind == 2)) || family == 1 || family == 16
}

/// Whether a rule holds for the caller: it is in `from`, if there is one, and not
/// in `exceptFrom`.
fn caller_matches(rule: &Rule, request: &Request) -> bool {
    let in_from = match &request.caller {
        Caller::Runtime => false,
        Caller::Executable(name) => match components(name) {
            Some(path) => rule
                .from
                .iter()
                .any(|pattern| path::matches(pattern, &path)),
            None => rule.effect != Effect::Allow,
        },
    };
    (rule.from.is_empty() || in_from) && !is_excepted(rule, request)
}

/// Whether the caller is in `exceptFrom`.
fn is_excepted(rule: &Rule, request: &Request) -> bool {
    let Caller::Executable(name) = &request.caller else {
        return false;
    };
    let Some(path) = components(name) else {
        return false;
    };
    rule.except_from
        .iter()
        .any(|pattern: &Pattern| path::matches(pattern, &path))
}
