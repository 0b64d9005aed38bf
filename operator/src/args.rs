//! The command line.
#![expect(
    clippy::doc_markdown,
    reason = "doc comments are help texts here, where backticks are noise"
)]

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::engine::Settings;

/// Compiles security policies into per-container rule maps and says what is enforced.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "bartizan-operator",
    version,
    after_help = "\
The operator reads pods, namespaces and policies, and writes RuleMaps, PodEnforcements and
the status of policies. It finds the API server by the service account it runs with, or by
KUBECONFIG.

Several replicas can run: all follow the cluster, and the one that holds the Lease
`bartizan-operator` writes. When it ends or dies, another takes over within 15 seconds.

What it says about a policy:
  kubectl get securitypolicies            mode, accepted, enforced 12/12
  kubectl describe securitypolicy NAME    conditions, nodes that are behind, events
  kubectl get podenforcements,rulemaps    what is enforced where

Exit codes: 0 after SIGTERM or SIGINT, 1 when it can't start."
)]
pub struct Args {
    /// Where /metrics, /healthz and /readyz are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Where the validating webhook is served; `none` for no webhook
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9443", value_parser = webhook)]
    pub webhook: Webhook,

    /// The namespace of the Lease and the webhook's Service
    #[arg(
        long,
        value_name = "NAME",
        env = "BARTIZAN_NAMESPACE",
        default_value = "bartizan-system"
    )]
    pub namespace: String,

    /// What this replica calls itself in the Lease; must differ between replicas
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value_t = identity())]
    pub identity: String,

    /// Writes to the API server at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 32, value_parser = concurrency)]
    pub concurrency: usize,

    /// How long a RuleMap that no PodEnforcement names is kept
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub rule_map_grace: u64,

    /// The least serious messages that are logged: error, warn, info, debug or trace, or a
    /// filter such as `info,kube=debug`
    #[arg(long, value_name = "LEVEL", env = "RUST_LOG", default_value = "info")]
    pub log_level: String,

    /// The form of the log on standard error
    #[arg(long, value_name = "FORM", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// Where the webhook is served, if anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Webhook(pub Option<SocketAddr>);

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

impl Args {
    /// What the loop takes from them.
    pub fn settings(&self) -> Settings {
        Settings {
            concurrency: self.concurrency,
            rule_map_grace: Duration::from_secs(self.rule_map_grace),
            ..Settings::default()
        }
    }
}

fn webhook(text: &str) -> Result<Webhook, String> {
    if text == "none" {
        return Ok(Webhook(None));
    }
    let address = text.parse();
    address
        .map(|address| Webhook(Some(address)))
        .map_err(|error| format!("{error}: write an address such as 0.0.0.0:9443, or `none`"))
}

fn concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1024) => Ok(number),
        _ => Err("1 to 1024 writes can be in flight".to_owned()),
    }
}

/// A pod's host name is its name, and outside of pods the process tells replicas apart.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_webhook_can_be_left_out() {
        let args = Args::parse_from(["bartizan-operator", "--webhook", "none"]);
        assert_eq!(args.webhook, Webhook(None));
        assert!(Args::try_parse_from(["bartizan-operator", "--webhook", "x"]).is_err());
        assert!(Args::try_parse_from(["bartizan-operator", "--concurrency", "0"]).is_err());
    }
}
