//! Why the enforcer ends early, and with which exit code.

use bartizan_policy::load::Diagnostics;

use crate::agent::chain;
use crate::engine::EngineError;

/// Ends the program.
#[derive(Debug)]
pub enum Failure {
    /// The policies are wrong: one message per mistake, exit code 1.
    Policies(Vec<String>),
    /// The machine or the command line can't do it: one sentence, exit code 2.
    Environment(anyhow::Error),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Policies(_) => 1,
            Self::Environment(_) => 2,
        }
    }

    /// What to print, line by line. Details over many lines (the verifier's log) go to
    /// the log at level debug.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Policies(messages) => messages.clone(),
            Self::Environment(error) => {
                for cause in error
                    .chain()
                    .filter(|cause| cause.to_string().contains('\n'))
                {
                    tracing::debug!("{cause}");
                }
                vec![chain(error.as_ref())]
            }
        }
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Policies(diagnostics.0.iter().map(ToString::to_string).collect())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Link { .. } | EngineError::Compile { .. } => {
                Self::Policies(vec![chain(&error)])
            }
            error => Self::Environment(error.into()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Environment(error)
    }
}

macro_rules! environment {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Environment(error.into())
            }
        })*
    };
}

environment!(
    std::io::Error,
    crate::bpf::LoadError,
    crate::bpf::MapError,
    crate::bpf::PinError,
    crate::cgroup::CgroupError,
    crate::container::ContainerError,
    crate::mounts::MountError,
    crate::selftest::SelfTestError,
);

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn an_environment_is_one_line_whatever_its_causes_say() {
        let error = anyhow!("verifier log:\n1: r0 = 0\n2: exit").context("the kernel refused it");
        let failure = Failure::from(error);
        assert_eq!(failure.code(), 2);
        assert_eq!(failure.lines(), ["the kernel refused it: verifier log:"]);
    }

    #[test]
    fn every_mistake_in_policies_is_a_line() {
        let error =
            crate::policies::Policies::read(&["/nonexistent/a".into(), "/nonexistent/b".into()]);
        let failure = Failure::from(error.unwrap_err());
        assert_eq!(failure.code(), 1);
        assert_eq!(failure.lines().len(), 2);
    }
}
