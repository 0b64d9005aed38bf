//! What is said of a container whose rules this node's kernel can't enforce in full.

use bartizan_crds::{ContainerReport, ContainerState, MAX_UNENFORCEABLE, UnenforceablePolicy};
use bartizan_policy::enforceable::{Gaps, Unenforceable};
use bartizan_policy::rule_map::RuleMap;

use super::pods::Trouble;
use super::status::because;

/// Completes the report of an armed container. `is_current`: it has the rules that are
/// planned for it; otherwise what keeps it from them matters more.
pub(super) fn partial(
    report: ContainerReport,
    rules: &RuleMap,
    gaps: &Gaps,
    is_current: bool,
) -> ContainerReport {
    let lacking = gaps.by_policy(rules);
    if lacking.is_empty() {
        return report;
    }
    let all = lacking.iter().take(MAX_UNENFORCEABLE);
    let report = ContainerReport {
        state: ContainerState::Partial,
        unenforceable: all.map(|one| described(one, rules)).collect(),
        ..report
    };
    if is_current {
        let message = message(&report);
        because(
            report,
            &Trouble {
                reason: "NotEnforceableHere",
                message,
            },
        )
    } else {
        report
    }
}

fn described(lacking: &Unenforceable<'_>, rules: &RuleMap) -> UnenforceablePolicy {
    let owned = |text: &str| text.to_owned();
    UnenforceablePolicy {
        policy: rules.policies[lacking.policy].reference(),
        rules: lacking.rules.iter().copied().map(owned).collect(),
        operations: lacking.gap.operations().map(owned).collect(),
        hooks: lacking.gap.hooks.iter().copied().map(owned).collect(),
    }
}

/// One sentence, and what was said before.
fn message(report: &ContainerReport) -> String {
    let said = |it: &UnenforceablePolicy| {
        let operations = it.operations.join(", ");
        let (policy, rules) = (&it.policy, it.rules.join(", "));
        let hooks = it.hooks.join(", ");
        format!("{operations} of {policy} ({rules}) for lack of {hooks}")
    };
    let lacking: Vec<_> = report.unenforceable.iter().map(said).collect();
    let before = report.message.as_ref();
    let before = before.map_or_else(String::new, |message| format!("; {message}"));
    format!(
        "the kernel of this node lacks hooks and doesn't judge everywhere: {}; all else is \
         enforced{before}",
        lacking.join("; ")
    )
}
