//! The story of the demo in a cluster.

use super::step::Step;

const fn step(about: &'static str, command: &'static str, shows: &'static [&'static str]) -> Step {
    Step {
        about,
        command,
        status: 0,
        shows,
        denials: &[],
        repeated: false,
    }
}

/// All steps, in the order in which one shell runs them.
pub(super) const STEPS: &[Step] = &[
    step(
        "A real cluster: its node is a virtual machine with a kernel of its own.",
        "kubectl get nodes -o wide",
        &["Ready", "cloud-amd64", "containerd"],
    ),
    step(
        "One command installs everything.",
        "kubectl apply -k config/deploy",
        &["bartizan-enforcer", "bartizan-operator"],
    ),
    step(
        "",
        "kubectl -n bartizan-system rollout status deployment/bartizan-operator --timeout=5m",
        &["successfully rolled out"],
    ),
    step(
        "",
        "kubectl -n bartizan-system rollout status daemonset/bartizan-enforcer --timeout=5m",
        &["successfully rolled out"],
    ),
    step(
        "Something to protect: a web server, in two pods.",
        "kubectl apply -f xtask/demo/web.yaml && \
         kubectl -n shop rollout status deployment/web --timeout=5m",
        &["deployment.apps/web created", "successfully rolled out"],
    ),
    step(
        "Nothing is denied yet.",
        "kubectl -n shop exec deploy/web -- cat /etc/shadow",
        &["root:*:"],
    ),
    step(
        "A policy in mode Audit: it reports and blocks nothing.",
        "kubectl apply -f xtask/demo/policy.yaml && \
         kubectl -n shop wait securitypolicy/web-lockdown --for=jsonpath='{.status.enforced}'=2/2 --timeout=2m",
        &["condition met"],
    ),
    step(
        "The dry run: it still works, and the enforcer says what would not have.",
        "kubectl -n shop exec deploy/web -- cat /etc/shadow",
        &["root:*:"],
    ),
    Step {
        denials: &[r#""namespace":"shop""#, r#""rule":"no-password-hashes""#],
        repeated: true,
        ..step(
            "",
            "timeout 60 sh -c 'until kubectl -n bartizan-system logs ds/bartizan-enforcer | \
             grep would-deny; do sleep 1; done'",
            &[],
        )
    },
    step(
        "The same policy enforced.",
        "kubectl -n shop patch securitypolicy web-lockdown --type merge -p '{\"spec\":{\"mode\":\"Enforce\"}}' && \
         timeout 60 sh -c 'while kubectl -n shop exec deploy/web -- cat /etc/shadow; do sleep 1; done'",
        &["/etc/shadow: Permission denied"],
    ),
    Step {
        status: 126,
        ..step(
            "",
            "kubectl -n shop exec deploy/web -- sh -c 'wget -qO- http://127.0.0.1'",
            &["wget: Permission denied"],
        )
    },
    step(
        "The web server does its work.",
        "kubectl -n shop exec deploy/web -- head -n 4 /usr/share/nginx/html/index.html",
        &["Welcome to nginx!"],
    ),
    step(
        "Its status, once the operator has heard of both pods.",
        "kubectl -n shop wait securitypolicy/web-lockdown --for=jsonpath='{.status.enforced}'=2/2 --timeout=2m && \
         kubectl -n shop get securitypolicies,podenforcements",
        &["web-lockdown", "Enforce", "2/2"],
    ),
    Step {
        denials: &[r#""rule":"no-downloaders","mode":"Enforce","verdict":"deny""#],
        repeated: true,
        ..step(
            "What was denied: a line of JSON, and the kernel's counters.",
            "timeout 60 sh -c 'until kubectl -n bartizan-system logs ds/bartizan-enforcer | \
             grep no-downloaders; do sleep 1; done'",
            &[],
        )
    },
    step(
        "The kernel's counters, in a Prometheus that scrapes the cluster.",
        "timeout 60 sh -c 'until promtool query instant $PROMETHEUS \
         \"bartizan_denials_total{mode=\\\"Enforce\\\"} > 0\" | grep no-downloaders; do sleep 1; done'",
        &[r#"policy="shop/web-lockdown""#],
    ),
    step(
        "Without the policy, everything is as before.",
        "kubectl -n shop delete securitypolicy web-lockdown && \
         timeout 60 sh -c 'until kubectl -n shop exec deploy/web -- cat /etc/shadow; do sleep 1; done'",
        &["root:*:"],
    ),
];
