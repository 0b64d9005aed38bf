//! What `restrict` of a policy can deny.

use bartizan_abi::op::Operation;

/// Fields of `restrict` with the operations they deny, in the order of rules.
pub(crate) const FIELDS: [(&str, Operation); 6] = [
    ("mounts", Operation::Mount),
    ("ptrace", Operation::Ptrace),
    ("bpf", Operation::Bpf),
    ("userNamespaces", Operation::UserNamespace),
    ("moduleLoad", Operation::ModuleLoad),
    ("ioUring", Operation::IoUring),
];

/// The fields' names.
pub(crate) fn fields() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|(field, _)| *field)
}

#[cfg(test)]
mod tests {
    use bartizan_abi::op::Category;

    use super::*;

    #[test]
    fn every_operation_that_can_be_restricted_has_a_field() {
        let all = Operation::ALL.iter().copied();
        let all = all.filter(|operation| operation.category() == Category::Restrict);
        assert!(all.eq(FIELDS.iter().map(|(_, operation)| *operation)));
    }
}
