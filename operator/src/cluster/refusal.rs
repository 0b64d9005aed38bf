//! Why policies are not enforced as they are written.

use bartizan_crds::RuleMapSpec;
use bartizan_policy::compile::{CompileError, compile};
use bartizan_policy::link::{self, LinkError};
use bartizan_policy::lint::{Cause, Said, lint};
use bartizan_policy::policy::Policy;
use bartizan_policy::published;
use bartizan_policy::rule_map::RuleMap;
use bartizan_policy::validate::Problem;

use super::keys::PolicyKey;

/// Bytes of a published rule map; etcd takes 1.5 MiB with everything around it.
pub const MAX_PUBLISHED: usize = 5 << 18;
/// Problems of a policy that its status names.
const MAX_SAID: usize = 10;

/// Why a policy, or several together, can't be enforced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy means nothing.
    #[error("{}", said(.0))]
    Invalid(Vec<Problem>),
    /// The policies of a container make no rule map.
    #[error(transparent)]
    Link(LinkError),
    /// Their rule map makes no table.
    #[error(transparent)]
    Compile(CompileError),
    /// Their rule map is no object that the API server takes.
    #[error("the linked rules take {bytes} bytes, more than the {MAX_PUBLISHED} of an API object")]
    TooLarge {
        /// Bytes as JSON.
        bytes: usize,
    },
}

impl Refusal {
    /// The kind, as metrics, conditions and events name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "InvalidPolicy",
            Self::Link(error) => error.reason(),
            Self::Compile(error) => error.reason(),
            Self::TooLarge { .. } => "RuleMapTooLarge",
        }
    }
}

fn said(problems: &[Problem]) -> String {
    let mut words: Vec<String> = problems
        .iter()
        .take(MAX_SAID)
        .map(ToString::to_string)
        .collect();
    if problems.len() > MAX_SAID {
        words.push(format!("and {} more", problems.len() - MAX_SAID));
    }
    words.join("; ")
}

/// A rule that never decides anything for containers with some policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable {
    /// Its policy.
    pub policy: PolicyKey,
    /// Why, with its name.
    pub said: String,
    /// Another policy denies what it allows.
    pub conflict: bool,
}

/// What is published for a container with some policies.
#[derive(Debug, PartialEq, Eq)]
pub struct Publication {
    /// The digest of `spec`.
    pub name: String,
    /// The linked rules.
    pub spec: RuleMapSpec,
    /// Rules in it that never decide anything.
    pub unreachable: Vec<Unreachable>,
    /// The same rules as they are compiled.
    pub map: RuleMap,
    /// The tables that nodes make of it.
    pub table: Vec<u8>,
}

/// What is published for a container with these policies.
pub fn publish(policies: &[&Policy]) -> Result<Publication, Refusal> {
    let map = link::together(policies).map_err(Refusal::Link)?;
    // Nodes compile it again; here it only has to be certain that they can.
    let table = compile(&map).map_err(Refusal::Compile)?;
    let spec = published::publish(&map);
    let bytes = serde_json::to_vec(&spec).map_or(usize::MAX, |json| json.len());
    if bytes > MAX_PUBLISHED {
        return Err(Refusal::TooLarge { bytes });
    }
    let unreachable = lint(&map).into_iter().map(|finding| {
        let policy = |rule: usize| &map.policies[map.rules[rule].policy];
        let own = policy(finding.rule);
        Unreachable {
            policy: PolicyKey {
                namespace: own.namespace.clone(),
                name: own.name.clone(),
            },
            said: Said(&finding, &map).to_string(),
            conflict: matches!(finding.cause, Cause::Denied(by) if policy(by) != own),
        }
    });
    Ok(Publication {
        name: published::name(&spec),
        unreachable: unreachable.collect(),
        spec,
        map,
        table,
    })
}
