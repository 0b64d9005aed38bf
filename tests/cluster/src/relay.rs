//! A change on its way through the API server and a node, with nothing done about it
//! (tests/relay).

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::cases::samples::PROBE;
use crate::kubectl::{Kubectl, Namespace};
use crate::proxy::Proxy;
use crate::wait::PATIENCE;

/// What its pod may do: read and write config maps, and run.
const DOCUMENTS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: first
data:
  number: start
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: relay
rules:
  - apiGroups: [\"\"]
    resources: [configmaps]
    verbs: [get, list, watch, create, patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: relay
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: relay
subjects:
  - kind: ServiceAccount
    name: default
";

/// Two programs on a node, the second of which tells what has arrived; ends when dropped.
pub(crate) struct Relay<'a> {
    namespace: Namespace<'a>,
    told: Receiver<String>,
    child: Child,
}

impl<'a> Relay<'a> {
    /// Starts it, and waits until something has passed through.
    pub(crate) fn start(kubectl: &'a Kubectl) -> Result<Self> {
        let namespace = kubectl.namespace("latency-alone")?;
        namespace.apply(DOCUMENTS)?;
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": "relay" },
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "main",
                    "image": PROBE,
                    "command": ["/relay", "copy", "first", "second"],
                }],
            },
        });
        namespace.apply(&pod.to_string())?;
        namespace.ready("relay")?;
        let flag = format!("--namespace={}", namespace.name);
        let exec = [&flag, "exec", "relay", "--", "/relay", "tell", "second"];
        let mut child = kubectl.spawn(&exec)?;
        let lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let (sender, told) = mpsc::channel();
        // It ends with the child.
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let relay = Self {
            namespace,
            told,
            child,
        };
        relay.tells("start")?;
        Ok(relay)
    }

    /// Sends a number; how long it took to arrive.
    pub(crate) fn passes(&self, proxy: &Proxy, number: usize) -> Result<Duration> {
        let path = format!(
            "/api/v1/namespaces/{}/configmaps/first",
            self.namespace.name
        );
        let value = number.to_string();
        let start = Instant::now();
        proxy.patch(&path, &json!({ "data": { "number": value } }))?;
        self.tells(&value)?;
        Ok(start.elapsed())
    }

    fn tells(&self, value: &str) -> Result<()> {
        loop {
            let line = self.told.recv_timeout(PATIENCE);
            if line.context("the relay tells nothing")? == value {
                return Ok(());
            }
        }
    }
}

impl Drop for Relay<'_> {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
