//! The command line, and the help that teaches it.

use std::path::PathBuf;

use bartizan_policy::request;
use clap::{Parser, Subcommand, ValueEnum};

/// Check and explain Bartizan policies, with no kernel and no cluster.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(Check),
    #[command(after_long_help = explain_help())]
    Explain(Explain),
}

/// Find everything that is wrong with policy files.
///
/// Each problem is a line `FILE:LINE:COLUMN: FIELD: MESSAGE` that also says what to write
/// instead. Every policy is compiled as well, so a policy that passes here can be enforced.
///
/// Exit codes: 0 all valid, 1 a problem was found, 2 wrong usage.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Files, directories (their .yaml and .yml files), or `-` for standard input
    #[arg(required = true, value_name = "FILES")]
    pub(crate) files: Vec<PathBuf>,
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Say what policies decide about an operation, and which rule does.
///
/// The answer comes from the same tables and the same code that run in the kernel.
///
/// Exit codes: 0 allowed (a would-be denial of a policy in Audit too), 3 denied,
/// 1 invalid policies, 2 wrong usage.
#[derive(Debug, clap::Args)]
pub(crate) struct Explain {
    /// A policy file or directory, or `-`; can be given several times
    #[arg(short, long = "file", required = true, value_name = "FILES")]
    pub(crate) files: Vec<PathBuf>,
    /// The namespace of the workload; without it every policy counts as one of the
    /// workload's own namespace
    #[arg(short, long, value_name = "NS")]
    pub(crate) namespace: Option<String>,
    /// A label of the workload's namespace, for cluster policies
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair, requires = "namespace")]
    pub(crate) namespace_label: Vec<(String, String)>,
    /// A label of the workload; can be given several times
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) label: Vec<(String, String)>,
    /// The name of the container; without it a policy with `containers` holds only if
    /// one of them is `*`
    #[arg(short, long, value_name = "NAME")]
    pub(crate) container: Option<String>,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The calling executable; without it, one that is in no `from` and no `exceptFrom`
    #[arg(long, value_name = "PATH")]
    pub(crate) by: Option<String>,
    /// The calling process owns the file
    #[arg(long)]
    pub(crate) owner: bool,
    /// What is done, such as `exec /usr/bin/apt`; `--help` lists them
    #[arg(required = true, value_name = "OPERATION")]
    pub(crate) operation: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  bartizan check policies/
  bartizan check web.yaml -o json
  kubectl get securitypolicies -A -o yaml | bartizan check -";

fn explain_help() -> String {
    let operations = request::SYNTAX.replace('\n', "\n  ");
    format!(
        "Operations:\n  {operations}

Examples:
  bartizan explain -f policies/ exec /usr/bin/apt
  bartizan explain -f web.yaml --label app=web file read /etc/shadow --by /usr/sbin/nginx
  bartizan explain -f web.yaml -n shop -l app=web connect tcp 10.0.0.1:443
  bartizan explain -f web.yaml -o json capability NET_RAW"
    )
}

/// `KEY=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
