//! A line of a table, understood.

use anyhow::{Context as _, Result, bail, ensure};
use bartizan_abi::op::{Category, Operation};
use bartizan_policy::explain;
use bartizan_policy::operation::{Caller, Name, Object, Request, UnixSocket};
use bartizan_policy::request::parse_request;
use rustix::io::Errno;

use crate::denial::Denial;
use crate::table::{Case, Table};

/// An operation that can be done, and what its table says of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// The line.
    pub case: Case,
    /// The operation.
    pub request: Request,
    /// Path of the program that does it.
    pub caller: String,
}

impl Step {
    /// All steps of a table, in order.
    pub fn all(table: &Table) -> Result<Vec<Self>> {
        table.cases.iter().map(Self::new).collect()
    }

    /// A step of no table.
    pub fn allowed(words: &[&str]) -> Result<Self> {
        Self::new(&Case {
            line: 0,
            words: words.iter().map(ToString::to_string).collect(),
            verdict: "allow".to_owned(),
            rule: None,
        })
    }

    fn new(case: &Case) -> Result<Self> {
        let words: Vec<&str> = case.words.iter().map(String::as_str).collect();
        let request = parse_request(&words).with_context(|| case.operation())?;
        let Caller::Executable(Name::Path(caller)) = &request.caller else {
            bail!("line {}: no caller with a name", case.line);
        };
        Ok(Self {
            caller: String::from_utf8_lossy(caller).into_owned(),
            case: case.clone(),
            request,
        })
    }

    /// The path of the file that it is done to.
    pub fn path(&self) -> Option<String> {
        match &self.request.object {
            Object::File {
                name: Name::Path(path),
                ..
            } => Some(String::from_utf8_lossy(path).into_owned()),
            _ => None,
        }
    }

    /// Whether it makes, moves or removes names (using a capability may).
    pub fn is_about_names(&self) -> bool {
        let makes_socket = self.binds() && self.socket_path().is_some();
        makes_socket
            || matches!(
                self.request.operation,
                Operation::Create
                    | Operation::Delete
                    | Operation::Rename
                    | Operation::Link
                    | Operation::Capable
            )
    }

    /// The path that names the Unix socket that it is done to.
    pub fn socket_path(&self) -> Option<String> {
        match &self.request.object {
            Object::Unix(UnixSocket::Path(Name::Path(path))) => {
                Some(String::from_utf8_lossy(path).into_owned())
            }
            _ => None,
        }
    }

    /// Whether it gives a socket of the caller's the address or name.
    pub fn binds(&self) -> bool {
        use Operation::{Accept, Bind, Listen};
        matches!(self.request.operation, Bind | Listen | Accept)
    }

    /// The operation as an [`Agent`](crate::Agent) takes it.
    pub fn words(&self) -> Vec<&str> {
        self.case.words.iter().map(String::as_str).collect()
    }

    /// The line in the denial log, with the operations it may be about: a rename also
    /// deletes the old name.
    pub(crate) fn reported(&self) -> Vec<Denial> {
        let operation = self.request.operation;
        let operations = match operation {
            Operation::Rename => vec![operation, Operation::Delete],
            _ => vec![operation],
        };
        operations
            .into_iter()
            .map(|operation| Denial {
                verdict: self.case.verdict.clone(),
                rule: self.case.rule.clone(),
                operation: operation.name().to_owned(),
                target: Some(explain::target(&self.request.object)),
                executable: Some(self.caller.clone()),
            })
            .collect()
    }

    /// Whether no other case does the same to the same object by the same caller.
    pub(crate) fn is_told_apart_from(&self, steps: &[Self]) -> bool {
        let reported = self.reported();
        let about = |one: &Denial| reported.iter().any(|other| one.is_about(other));
        let same = |step: &&Self| step.reported().iter().any(about);
        steps.iter().filter(same).count() == 1
    }

    /// Whether this errno is what the call must answer.
    pub(crate) fn check(&self, errno: i32) -> Result<()> {
        let category = self.request.operation.category();
        let makes_a_file =
            self.request.operation == Operation::Bind && self.socket_path().is_some();
        let denied = match category {
            Category::Network if makes_a_file => Errno::ACCESS,
            Category::Process | Category::Files => Errno::ACCESS,
            Category::Network | Category::Capabilities | Category::Restrict => Errno::PERM,
        };
        let text = std::io::Error::from_raw_os_error(errno);
        if self.case.verdict == "deny" {
            ensure!(
                errno == denied.raw_os_error(),
                "denied with {text} instead of {denied}"
            );
            return Ok(());
        }
        // Nobody listens where the samples connect to, not every kernel has every kind of
        // socket, and no real module is loaded; what counts is that it isn't the rules that
        // say no.
        let is_refusal = [Errno::ACCESS, Errno::PERM]
            .iter()
            .any(|no| no.raw_os_error() == errno);
        let may_fail = matches!(
            category,
            Category::Network | Category::Capabilities | Category::Restrict
        );
        ensure!(
            errno == 0 || (may_fail && !is_refusal),
            "should go on, but fails: {text}"
        );
        Ok(())
    }
}
