//! What programs depend on in the running kernel: where its structures have their members,
//! and which hooks there are. Read once, at each start.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bartizan_abi::fields::{ABSENT, FIELDS, Field, Need};
use bartizan_abi::hooks::HOOKS;
use bartizan_policy::enforceable::Gaps;
use bartizan_policy::kernel_features::KernelFeatures;
use rustix::system::uname;

use super::btf::Types;
use super::environment;
use super::error::LoadError;

/// What the kernel's types say.
pub(super) struct Facts {
    /// Values for the object's offset globals.
    pub(super) offsets: Vec<(&'static str, u64)>,
    /// Of those that have a program, the hooks that there are.
    pub(super) hooks: BTreeSet<&'static str>,
    /// What can't be enforced without the others.
    pub(super) gaps: Gaps,
}

impl Facts {
    /// Fails where a hook or a member is missing that every node must have.
    pub(super) fn read() -> Result<Self, LoadError> {
        let bytes = environment::btf()?;
        let types = Types::parse(&bytes).map_err(LoadError::Structures)?;
        let there: BTreeSet<&str> = types.lsm_hooks().collect();
        let hooks = HOOKS.iter().map(|hook| hook.name);
        let hooks: BTreeSet<_> = hooks.filter(|hook| there.contains(hook)).collect();
        let gaps = Gaps::new(|hook| hooks.contains(hook)).map_err(LoadError::Unfit)?;
        Ok(Self {
            offsets: offsets(&types)?,
            hooks,
            gaps,
        })
    }

    /// Says in one line what can't be enforced, if anything can't.
    pub(super) fn warn(&self) {
        if let Some(operations) = described(&self.gaps) {
            tracing::warn!(
                "this kernel lacks hooks, so these operations are not judged wherever they \
                 happen: {operations}"
            );
        }
    }
}

/// `Create (path_mkdir, path_mknod), Chmod (path_chmod)`; `None` if nothing is missing.
fn described(gaps: &Gaps) -> Option<String> {
    let mut text = String::new();
    let mut last = None;
    for (operation, hook) in gaps.pairs() {
        let written = if last == Some(operation) {
            write!(text, ", {hook}")
        } else {
            let end = if last.is_some() { "), " } else { "" };
            write!(text, "{end}{} ({hook}", operation.name())
        };
        written.expect("strings take everything");
        last = Some(operation);
    }
    last.map(|_| text + ")")
}

/// What the running kernel has, for a file. Takes no rights but that of reading `/sys`.
pub fn kernel_features() -> Result<KernelFeatures, LoadError> {
    let bytes = environment::btf()?;
    let types = Types::parse(&bytes).map_err(LoadError::Structures)?;
    let hooks = types.lsm_hooks().map(str::to_owned).collect();
    let system = uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let modules = environment::security_modules();
    Ok(KernelFeatures::new(
        text(system.release()),
        text(system.machine()),
        modules,
        hooks,
    ))
}

/// Values for the object's offset globals.
fn offsets(types: &Types<'_>) -> Result<Vec<(&'static str, u64)>, LoadError> {
    let mut all = Vec::new();
    for field in FIELDS {
        let value = match types.bit_offset(field.structure, field.member) {
            Ok(bits) if field.bits => bits,
            Ok(bits) => bits / 8,
            Err(_) if !is_needed(field, &all) => ABSENT,
            Err(error) => return Err(LoadError::Structures(error)),
        };
        if let Some(expected) = field.fixed
            && value != expected
        {
            return Err(LoadError::Moved {
                structure: field.structure,
                member: field.member,
                found: value,
                expected,
            });
        }
        if field.fixed.is_none() {
            all.push((field.global, value));
        }
    }
    Ok(all)
}

/// Whether a kernel in which these fields were found must have another.
fn is_needed(field: &Field, found: &[(&str, u64)]) -> bool {
    match field.need {
        Need::Always => true,
        Need::Never => false,
        Need::Without(other) => found.contains(&(other, ABSENT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_fields_is_enough() {
        let fields = |need| FIELDS.iter().filter(move |field| field.need == need);
        let [field] = fields(Need::Without("BACKING_PATH")).collect::<Vec<_>>()[..] else {
            panic!("there is one");
        };
        assert!(fields(Need::Never).any(|other| other.global == "BACKING_PATH"));
        assert!(is_needed(field, &[("BACKING_PATH", ABSENT)]));
        assert!(!is_needed(field, &[("BACKING_PATH", 64)]));
    }

    fn without(missing: &[&str]) -> Option<String> {
        described(&Gaps::new(|hook| !missing.contains(&hook)).unwrap())
    }

    #[test]
    fn operations_are_named_with_the_hooks_they_lack() {
        assert_eq!(without(&[]), None);
        assert_eq!(without(&["file_truncate"]), None);
        assert_eq!(without(&["path_chmod"]).unwrap(), "Chmod (path_chmod)");
        assert_eq!(
            without(&["path_chmod", "path_mkdir", "path_symlink"]).unwrap(),
            "Create (path_mkdir, path_symlink), Chmod (path_chmod)"
        );
    }
}
