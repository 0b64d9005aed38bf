//! `restrict`: a deny rule for each operation that is denied as a whole.

use bartizan_abi::op::Operation;
use bartizan_crds::{Restriction, Restrictions};

use super::field::FieldPath;
use super::rules::Placed;
use crate::restriction::FIELDS;
use crate::rule_map::{Effect, Matcher, Rule};

/// The rules of `restrict`. What is allowed makes none: there is no default that it could
/// be an exception to.
pub(super) fn rules(api: Option<Restrictions>, spec: &FieldPath) -> Vec<Placed> {
    let field = spec.key("restrict");
    let denied =
        |operation| api.and_then(|api| restriction(api, operation)) == Some(Restriction::Deny);
    let denied = FIELDS.iter().filter(|(_, operation)| denied(*operation));
    denied
        .map(|&(name, operation)| Placed {
            rule: Rule {
                policy: 0,
                name: format!("restrict.{name}"),
                effect: Effect::Deny,
                matcher: Matcher::Restrict(operation),
                from: Vec::new(),
                except_from: Vec::new(),
                unless_owner: false,
            },
            field: field.key(name),
        })
        .collect()
}

fn restriction(api: Restrictions, operation: Operation) -> Option<Restriction> {
    match operation {
        Operation::Mount => api.mounts,
        Operation::Ptrace => api.ptrace,
        Operation::Bpf => api.bpf,
        Operation::UserNamespace => api.user_namespaces,
        Operation::ModuleLoad => api.module_load,
        Operation::IoUring => api.io_uring,
        _ => None,
    }
}
