//! Alerts and the dashboard, with a Prometheus that scrapes the cluster while something is
//! denied, would be denied, is audited, and is edited.

use anyhow::{Context as _, Result};

use super::policies::waiting_pod;
use crate::case::{Case, Context};

/// What would be denied, is denied, and is audited, in this order.
const POLICIES: &str = "\
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata:
  name: dry-run
spec:
  selector: {}
  mode: Audit
  files:
    deny:
      - paths: [/etc/group]
        operations: [Read]
---
apiVersion: bartizan.dev/v1alpha1
kind: SecurityPolicy
metadata:
  name: blocks
spec:
  selector: {}
  mode: Enforce
  process:
    deny:
      - paths: [\"**/wget\"]
  files:
    audit:
      - paths: [/etc/passwd]
        operations: [Read]
";
const LOOP: &str = "while :; do /usr/bin/wget --help; cat /etc/passwd /etc/group; sleep 1; done";

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new(
        "monitoring/alerts_and_dashboard_have_their_data",
        have_data,
    )]
}

fn have_data(context: &Context) -> Result<()> {
    let namespace = context.kubectl.namespace("monitoring")?;
    namespace.apply(POLICIES)?;
    let command = format!("      command: [sh, -c, \"{LOOP} > /dev/null 2>&1\"]\n");
    namespace.apply(&(waiting_pod("box") + &command))?;
    namespace.ready("box")?;
    let mut severity = 1;
    let found = context.cluster.monitoring(|| {
        severity = severity % 10 + 1;
        let edit = format!("spec:\n  severity: {severity}\n");
        let patch = [
            "patch",
            "securitypolicy",
            "blocks",
            "--type=merge",
            "-p",
            &edit,
        ];
        namespace.run(&patch).map(|_| ())
    })?;
    for skipped in found.lines().filter(|line| line.starts_with("skip")) {
        println!("   {skipped}");
    }
    let totals = found.lines().last().context("nothing was asked")?;
    println!("   {totals}");
    Ok(())
}
