//! What tables of cases need to be there: files, programs, and everything put back.
//!
//! In a cluster this program does the same from inside:
//!
//! ```text
//! pod under test    pod stage      makes what the table in `TABLE` needs, and waits
//!                   probe serve    does the operations, under the callers' names
//! pod of the tests  pod keep UID   removes and restores, through /proc/PID/root
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::process::ExitCode;
use std::thread;

use anyhow::{Context as _, Result, bail};
use bartizan_abi::op::{Category, Operation};
use bartizan_policy::explain;
use bartizan_policy::operation::{Name, Object, UnixSocket};
use bartizan_samples::{Step, table};

use crate::container::Root;
use crate::probe::{self, Failure};

/// Makes everything that the steps run, open and call from, and the sockets that they
/// connect and send to, which are there as long as what is returned.
pub(crate) fn populate(root: &Root, steps: &[Step]) -> Result<Vec<Peer>> {
    let peers = Peer::all(root, steps)?;
    let paths: BTreeSet<String> = steps.iter().filter_map(Step::path).collect();
    for step in steps {
        root.program(&step.caller)?;
        if let Some(path) = step.path()
            && step.request.operation.category() == Category::Process
        {
            root.program(&path)?;
        }
    }
    for path in &paths {
        let below = format!("{path}/");
        let is_directory = paths.iter().any(|other| other.starts_with(&below));
        if is_directory {
            root.directory(path)?;
        } else if !root.outside(path).exists() {
            root.file(path)?;
        }
    }
    Ok(peers)
}

/// A socket that is connected or sent to.
#[expect(
    dead_code,
    reason = "they are there to be found by name, and nobody answers"
)]
pub(crate) enum Peer {
    Stream(UnixListener),
    Datagram(UnixDatagram),
}

impl Peer {
    fn all(root: &Root, steps: &[Step]) -> Result<Vec<Self>> {
        let mut peers: BTreeMap<String, Self> = BTreeMap::new();
        for step in steps.iter().filter(|step| !step.binds()) {
            let Object::Unix(socket) = &step.request.object else {
                continue;
            };
            let name = explain::target(&step.request.object);
            if peers.contains_key(&name) {
                continue;
            }
            if let Some(path) = step.socket_path() {
                make_room(root, &path)?;
            }
            let peer = Self::new(root, socket, step.request.operation);
            peers.insert(name, peer.with_context(|| step.case.operation())?);
        }
        Ok(peers.into_values().collect())
    }

    fn new(root: &Root, socket: &UnixSocket, operation: Operation) -> Result<Self> {
        let address = match socket {
            UnixSocket::Path(Name::Path(path)) => {
                SocketAddr::from_pathname(root.outside(&String::from_utf8_lossy(path)))?
            }
            UnixSocket::Path(Name::Unresolved) => bail!("a socket without a name"),
            UnixSocket::Abstract(name) => SocketAddr::from_abstract_name(name)?,
        };
        Ok(if operation == Operation::Send {
            Self::Datagram(UnixDatagram::bind_addr(&address)?)
        } else {
            Self::Stream(UnixListener::bind_addr(&address)?)
        })
    }
}

/// Makes the directories above a path, and removes what is there.
fn make_room(root: &Root, path: &str) -> Result<()> {
    if !root.outside(path).exists() {
        root.file(path)?;
    }
    Ok(fs::remove_file(root.outside(path))?)
}

/// What is made by an operation must not be there.
pub(crate) fn before(root: &Root, step: &Step) -> Result<()> {
    if let Some(path) = step.socket_path()
        && step.binds()
    {
        make_room(root, &path)?;
    }
    if let Some(path) = step.path()
        && step.request.operation == Operation::Create
    {
        fs::remove_file(root.outside(&path))?;
    }
    Ok(())
}

/// Puts everything back.
pub(crate) fn after(root: &Root, step: &Step) -> Result<()> {
    if let Some(path) = step.socket_path()
        && step.binds()
        && root.outside(&path).exists()
    {
        fs::remove_file(root.outside(&path))?;
    }
    let moved = root.outside(probe::MOVED);
    let Some(path) = step.path() else {
        return if moved.exists() {
            Ok(fs::remove_file(moved)?)
        } else {
            Ok(())
        };
    };
    let outside = root.outside(&path);
    if moved.exists() {
        if outside.exists() {
            fs::remove_file(moved)?;
        } else {
            fs::rename(moved, outside)?;
        }
    } else if !outside.exists() {
        root.file(&path)?;
    }
    Ok(())
}

/// The side that runs in pods.
pub(crate) fn main(words: &[&str]) -> ExitCode {
    let result = match words {
        ["stage"] => make(),
        ["keep", pod] => return keep(pod),
        _ => Err(anyhow::anyhow!("unknown: {}", words.join(" "))),
    };
    match result {
        Ok(_peers) => {
            println!("everything is there");
            loop {
                thread::park();
            }
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn make() -> Result<Vec<Peer>> {
    let text = std::env::var("TABLE").context("TABLE is not set")?;
    let root = Root::at("/");
    // The image has nothing but this program.
    root.directory("/tmp")?;
    populate(&root, &Step::all(&table::parse(&text)?)?)
}

/// Clears up in another pod, as it is told.
fn keep(pod: &str) -> ExitCode {
    let root = match root_of(pod) {
        Ok(root) => root,
        Err(error) => {
            println!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    probe::serve(|words| {
        let (when, operation) = words.split_first().unwrap_or((&"", &[]));
        let act = match *when {
            "before" => before,
            "after" => after,
            _ => return Err(Failure::Setup(format!("{when} means nothing"))),
        };
        let step = Step::allowed(operation);
        let result = step.and_then(|step| act(&root, &step));
        result.map_err(|error| Failure::Setup(format!("{error:#}")))
    })
}

/// The root of a pod's container whose first process is this program.
fn root_of(pod: &str) -> Result<Root> {
    let own = fs::read_link("/proc/self/exe").context("read the own name")?;
    for entry in fs::read_dir("/proc").context("list processes")? {
        let process = entry?.path();
        // Others end while this looks at them.
        let cgroup = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
        let is_of_pod = cgroup.replace('_', "-").contains(pod);
        if is_of_pod && fs::read_link(process.join("exe")).is_ok_and(|exe| exe == own) {
            return Ok(Root::at(process.join("root")));
        }
    }
    bail!("pod {pod} has no such process")
}
