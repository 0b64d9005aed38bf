//! What is said to somebody who writes a policy.

use super::*;
use crate::review::{Answer, Review};

#[test]
fn what_a_policy_itself_has_that_is_not_meant_is_a_warning_whomever_it_selects() {
    let spec = r#"{ "process": { "deny": [{ "paths": ["/a", "/a"] }, { "paths": ["/a"] }] } }"#;
    let Change::Policy(key_of, Some(object)) = policy("p", 1, "web", spec) else {
        unreachable!("it is a policy");
    };
    let object = object.json;
    let review = Review {
        key: key_of,
        object,
    };
    let own = [
        "spec.process.deny[0].paths[1]: `/a` is there twice: remove one",
        "rule process.deny[1] changes nothing: rule process.deny[0] denies all of it",
    ];
    let mut cluster = cluster(Vec::new());
    let nobody = "the policy selects no container that is there now";
    let said = |warnings: &[&str]| Answer::Accepted {
        warnings: warnings.iter().map(|one| (*one).to_owned()).collect(),
    };
    assert_eq!(cluster.review(&review), said(&[nobody, own[0], own[1]]));
    cluster.apply(Change::Pod(key("one"), Some(pod("web", &["c"]))));
    assert_eq!(cluster.review(&review), said(&own));
}

#[test]
fn a_warning_names_what_a_pod_itself_runs_and_would_be_denied() {
    let mut web = pod("web", &["web"]);
    web.containers[0].programs = vec![
        Program {
            role: "command",
            path: "/usr/sbin/nginx".to_owned(),
        },
        Program {
            role: "liveness probe",
            path: "/bin/check".to_owned(),
        },
    ];
    let cluster = cluster(vec![
        policy(
            "p",
            1,
            "web",
            r#"{ "process": { "deny": [{ "paths": ["/bin/check"] }] } }"#,
        ),
        Change::Pod(key("one"), Some(web)),
    ]);
    let warnings = |mode: &str| {
        let spec = format!(
            r#"{{ "mode": "{mode}", "process": {{ "default": "Deny", "allow": [
                {{ "paths": ["/bin/check"] }}] }} }}"#
        );
        let Change::Policy(key, Some(object)) = policy("q", 1, "web", &spec) else {
            unreachable!("it is a policy");
        };
        let object = object.json;
        match cluster.review(&Review { key, object }) {
            Answer::Accepted { warnings } => warnings,
            refused @ Answer::Refused { .. } => panic!("{refused:?}"),
        }
    };
    // The probe would have been denied before.
    let place = "for container web of pod shop/one, its command `/usr/sbin/nginx`";
    let rule = "by rule process.default of policy shop/q";
    assert_eq!(warnings("Enforce"), [format!("{place} is denied {rule}")]);
    assert_eq!(
        warnings("Audit"),
        [format!("{place} would be denied {rule}")]
    );
}
