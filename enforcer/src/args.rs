//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use bartizan_policy::link::Workload;
use bartizan_policy::selector::Labels;
use bartizan_policy::validate::{self, NameError, TwoValues};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::engine::Identity;

/// Enforces security policies in the kernel: programs, files, sockets and capabilities.
#[derive(Debug, Parser)]
#[command(name = "bartizan-enforcer", version, after_help = EXIT_CODES)]
pub struct Args {
    /// Its own log.
    #[command(flatten)]
    pub log: Log,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  1    a policy is invalid; every mistake is printed
  2    this machine or command line can't do it; one sentence says what to change
  126  `run`: the command could not be executed, for instance because a rule denies it
  127  `run`: there is no such command
  otherwise `run` ends with the command's own status (128 + signal if it was killed)

Denials are JSON lines on standard output, the enforcer's own log is on standard error.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command as a container under the policies.
    ///
    /// The command gets its own mount, pid and ipc namespaces and a cgroup, and its rules
    /// are in the kernel before its first instruction.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Enforce policies in cgroups that exist: containers of any engine, systemd units.
    ///
    /// The policy files are watched: an edit is in the kernel within 100 ms, an invalid one
    /// changes nothing and is reported. Ends with SIGINT or SIGTERM; then, or if it is
    /// killed, nothing is enforced any more.
    #[command(after_help = STANDALONE_EXAMPLES)]
    Standalone(Standalone),
    /// Enforce in the pods of a Kubernetes node what the operator publishes for them.
    ///
    /// Reads the node's own `PodEnforcement` objects and the rule maps that they name, and
    /// writes their status. What it reads is kept in --state, so that after a restart every
    /// known pod is enforced as before, whether the API server answers or not.
    ///
    /// Kernel programs and maps are kept in --pins: enforcement goes on when it ends,
    /// however it ends, until the next enforcer takes over or `uninstall` ends it.
    Node(Node),
    /// Print what this machine's kernel has, as a file for `bartizan check`.
    ///
    /// With `--kernel-features FILE`, `bartizan check` says of each rule what couldn't be
    /// enforced on a node with this kernel. Needs no privileges, and changes nothing.
    KernelFeatures,
    /// End what `node` has left in the kernel, and remove its files.
    ///
    /// Says what was removed. No enforcer may run on the node meanwhile.
    Uninstall(Uninstall),
}

const RUN_EXAMPLES: &str = "\
Examples:
  bartizan-enforcer run -f policy.yaml -- sh -c 'cat /etc/shadow'
  bartizan-enforcer run -f policies/ --label app=web --root /srv/jail -- /usr/sbin/nginx";

const STANDALONE_EXAMPLES: &str = "\
Examples:
  bartizan-enforcer standalone -f policies/ \\
      --workload web=system.slice/nginx.service,label=app=web \\
      --workload db=/sys/fs/cgroup/machine.slice/db,label=app=db,container=postgres";

/// Options of both commands.
#[derive(Clone, Debug, ClapArgs)]
pub struct Common {
    /// Policy file, or directory of .yaml and .yml files; can be repeated.
    #[arg(short = 'f', long = "file", value_name = "PATH", required = true)]
    pub files: Vec<PathBuf>,
    /// The workloads' namespace. Without it, every policy counts as one of it.
    #[arg(long, value_name = "NAMESPACE", value_parser = namespace)]
    pub namespace: Option<String>,
    /// Container name, for policies that select containers by name.
    #[arg(long, value_name = "NAME", value_parser = container)]
    pub container: Option<String>,
    /// Serve /metrics, /healthz and /readyz on this address, such as 127.0.0.1:9464.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Write denials to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub denials: Option<PathBuf>,
    /// Name of this node in denials [default: the host name].
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
}

/// Options of `run`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Run {
    /// Options of both commands.
    #[command(flatten)]
    pub common: Common,
    /// Label that policies select by; can be repeated.
    #[arg(short = 'l', long = "label", value_name = "KEY=VALUE", value_parser = validate::label)]
    pub labels: Vec<(String, String)>,
    /// Directory that becomes the command's root [default: the host's root].
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// The command and its arguments.
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

impl Run {
    /// Who the command is for policies and reports.
    pub fn identity(&self) -> Result<Identity, TwoValues> {
        Ok(Identity {
            name: "run".to_owned(),
            image: None,
            workload: Workload {
                namespace: self.common.namespace.clone(),
                labels: validate::labels(self.labels.clone())?,
                container: self.common.container.clone(),
                ..Workload::default()
            },
            owner: None,
        })
    }
}

/// What `node` leaves on the machine.
#[derive(Clone, Debug, ClapArgs)]
pub struct Traces {
    /// Directory for the copy of what the API server said.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/bartizan")]
    pub state: PathBuf,
    /// Directory on a bpf file system in which kernel programs and maps are kept.
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/bartizan")]
    pub pins: PathBuf,
}

/// Options of `uninstall`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Uninstall {
    /// What to remove.
    #[command(flatten)]
    pub traces: Traces,
}

/// Options of `node`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Node {
    /// This node's name in the API.
    #[arg(long = "node", value_name = "NAME", env = "BARTIZAN_NODE")]
    pub name: String,
    /// How to reach the API server [default: as a pod of the cluster].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// What outlives it.
    #[command(flatten)]
    pub traces: Traces,
    /// Where the container runtime offers NRI, by which it announces containers.
    #[arg(long, value_name = "SOCKET", default_value = "/var/run/nri/nri.sock")]
    pub nri_socket: PathBuf,
    /// Where the container runtime answers the kubelet, for the names of containers that
    /// were not announced [default: the first of the usual places].
    #[arg(long, value_name = "SOCKET")]
    pub cri_socket: Option<PathBuf>,
    /// On a node that can't enforce: seconds until it is tried again.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub retry_after: u64,
    /// Serve /metrics, /healthz and /readyz on this address, such as 0.0.0.0:9464.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Write denials to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub denials: Option<PathBuf>,
}

/// Options of `standalone`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Standalone {
    /// Options of both commands.
    #[command(flatten)]
    pub common: Common,
    /// Cgroup to enforce in, by path from the cgroup v2 root, with what policies select by;
    /// can be repeated.
    #[arg(
        short = 'w',
        long = "workload",
        value_name = "NAME=CGROUP[,label=KEY=VALUE]...[,container=NAME][,namespace=NAME]",
        required = true
    )]
    pub workloads: Vec<Named>,
}

/// A `--workload`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Its name in reports.
    pub name: String,
    /// Path of its cgroup.
    pub cgroup: PathBuf,
    /// Its labels.
    pub labels: Labels,
    /// Its container name, if it differs from `--container`.
    pub container: Option<String>,
    /// Its namespace, if it differs from `--namespace`.
    pub namespace: Option<String>,
}

impl Named {
    /// Who it is for policies and reports.
    pub fn identity(&self, common: &Common) -> Identity {
        Identity {
            name: self.name.clone(),
            image: None,
            workload: Workload {
                namespace: self.namespace.clone().or_else(|| common.namespace.clone()),
                labels: self.labels.clone(),
                container: self.container.clone().or_else(|| common.container.clone()),
                ..Workload::default()
            },
            owner: None,
        }
    }
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let (name, cgroup) = parts
            .next()
            .and_then(|first| first.split_once('='))
            .filter(|(name, cgroup)| !name.is_empty() && !cgroup.is_empty())
            .ok_or("a workload starts with NAME=CGROUP")?;
        let mut named = Self {
            name: name.to_owned(),
            cgroup: PathBuf::from(cgroup),
            ..Self::default()
        };
        let mut labels = Vec::new();
        for part in parts {
            let field = match part.split_once('=') {
                Some(("label", pair)) => validate::label(pair).map(|it| labels.push(it)),
                Some(("container", name)) => container(name).map(|it| named.container = Some(it)),
                Some(("namespace", name)) => namespace(name).map(|it| named.namespace = Some(it)),
                _ => {
                    return Err(format!(
                        "`{part}` is none of label=KEY=VALUE, container=NAME, namespace=NAME"
                    ));
                }
            };
            field.map_err(|error| error.to_string())?;
        }
        named.labels = validate::labels(labels).map_err(|error| error.to_string())?;
        Ok(named)
    }
}

fn namespace(text: &str) -> Result<String, NameError> {
    validate::namespace(text).map(|()| text.to_owned())
}

fn container(text: &str) -> Result<String, NameError> {
    validate::container_name(text).map(|()| text.to_owned())
}

/// The enforcer's own log.
#[derive(Clone, Debug, ClapArgs)]
pub struct Log {
    /// Log level, or a filter as in `RUST_LOG`, which holds without this option
    /// [default: warn for `run`, info for the others].
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
    /// How log lines look.
    #[arg(long, value_name = "FORMAT", global = true, default_value = "text")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn run_takes_everything_behind_the_dashes_as_the_command() {
        let args = parse("e run -f a.yaml -f d --label app=web -l x= --root /jail -- sh -c -f");
        let Command::Run(run) = args.unwrap().command else {
            panic!("not run")
        };
        assert_eq!(
            run.common.files,
            [PathBuf::from("a.yaml"), PathBuf::from("d")]
        );
        assert_eq!(run.command, ["sh", "-c", "-f"]);
        let identity = run.identity().unwrap();
        assert_eq!(identity.workload.labels["app"], "web");
        assert_eq!(identity.workload.labels["x"], "");
        assert_eq!(identity.workload.namespace, None);
    }

    #[test]
    fn a_command_and_a_policy_are_required() {
        assert!(parse("e run -f a.yaml").is_err());
        assert!(parse("e run -- sh").is_err());
        assert!(parse("e standalone -f a.yaml").is_err());
        assert!(parse("e run -f a.yaml --label app -- sh").is_err());
    }

    #[test]
    fn a_workload_has_its_own_labels_container_and_namespace() {
        let line = "e standalone -f d --namespace shop \
                    --workload web=system.slice/web.service,label=app=web,label=tier=front-1 \
                    --workload db=/sys/fs/cgroup/db,container=pg,namespace=data";
        let Command::Standalone(args) = parse(line).unwrap().command else {
            panic!("not standalone")
        };
        let web = args.workloads[0].identity(&args.common);
        assert_eq!(
            args.workloads[0].cgroup,
            PathBuf::from("system.slice/web.service")
        );
        assert_eq!(web.name, "web");
        assert_eq!(web.workload.labels["tier"], "front-1");
        assert_eq!(web.workload.namespace.as_deref(), Some("shop"));
        let db = args.workloads[1].identity(&args.common);
        assert_eq!(db.workload.container.as_deref(), Some("pg"));
        assert_eq!(db.workload.namespace.as_deref(), Some("data"));
    }

    #[test]
    fn names_that_no_pod_can_have_are_refused_as_by_the_command_line_for_policies() {
        for (option, expected) in [
            ("--namespace Shop", "`Shop` is no name of a namespace"),
            ("--container web_1", "`web_1` is no name of a container"),
            ("--label app", "`app` is no label: write KEY=VALUE"),
            ("--label app=-", "`-` is no value of a label"),
        ] {
            let error = parse(&format!("e run -f a.yaml {option} -- sh")).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        for (fields, expected) in [
            ("namespace=Shop", "`Shop` is no name of a namespace"),
            ("container=", "`` is no name of a container"),
            ("label=a/b/c=x", "`a/b/c` is no key of a label"),
        ] {
            let error = format!("web=x,{fields}").parse::<Named>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_bad_workload_says_what_is_expected() {
        assert_eq!(
            "web".parse::<Named>().unwrap_err(),
            "a workload starts with NAME=CGROUP"
        );
        let error = "web=x,label=a=b,label=a=c".parse::<Named>().unwrap_err();
        assert!(
            error.contains("label `a` is given as `b` and as `c`"),
            "{error}"
        );
        let error = "web=x,lable=a=b".parse::<Named>().unwrap_err();
        assert!(
            error.starts_with("`lable=a=b` is none of label=KEY=VALUE"),
            "{error}"
        );
    }
}
