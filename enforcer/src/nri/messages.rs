//! The calls of NRI, as much of them as is used.

use std::collections::BTreeMap;

use crate::protobuf::{DecodeError, Fields, Message};

/// What keys of our annotations begin with.
const OWN: &str = "bartizan.dev/";

/// A pod as a runtime tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// The id of its sandbox, which is a container.
    pub id: String,
    /// Its UID as its cgroup carries it.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Those of its annotations that are addressed to us: others can be large.
    pub annotations: BTreeMap<String, String>,
}

/// A container as a runtime tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// The id of its pod's sandbox.
    pub sandbox: String,
    /// Its name in the pod.
    pub name: String,
    /// Whether it has ended.
    pub ended: bool,
}

/// Something that happens at a runtime, which waits for the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All that is there at the beginning.
    Synchronized(Vec<Pod>, Vec<Container>),
    /// A pod's sandbox runs.
    SandboxStarted(Pod),
    /// A container is about to be created.
    Creating(Pod, Container),
    /// A container is complete, its mounts included, and about to run.
    Starting(Pod, Container),
    /// A container is gone.
    Removed(Container),
}

/// A call that the runtime makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// How long an answer may take, in milliseconds, for the runtime of that name.
    Configure {
        /// Name and version of the runtime.
        runtime: String,
        /// Its patience; 0 if it didn't say.
        timeout: u64,
    },
    /// What is there; more comes if `more`.
    Synchronize {
        /// Pods.
        pods: Vec<Pod>,
        /// Containers.
        containers: Vec<Container>,
        /// Another such call follows.
        more: bool,
    },
    /// Something happens.
    Event(Event),
    /// Something that needs no answer but an empty one.
    Ignored,
    /// A call that nobody here knows.
    Unknown,
}

/// Events that the runtime is asked for: bit n is event n + 1.
pub const EVENTS: u64 = 1 << (RUN_POD_SANDBOX - 1)
    | 1 << (CREATE_CONTAINER - 1)
    | 1 << (START_CONTAINER - 1)
    | 1 << (REMOVE_CONTAINER - 1);

/// A container's state when it has ended.
const STOPPED: u64 = 4;

const RUN_POD_SANDBOX: u64 = 1;
const CREATE_CONTAINER: u64 = 4;
const START_CONTAINER: u64 = 6;
const REMOVE_CONTAINER: u64 = 11;

/// A ttRPC request: its method and what is in it.
pub fn request(bytes: &[u8]) -> Result<(String, &[u8]), DecodeError> {
    let (mut method, mut payload) = (String::new(), &[][..]);
    for field in Fields::new(bytes) {
        let field = field?;
        match field.number {
            2 => method = field.text()?,
            3 => payload = field.bytes()?,
            _ => {}
        }
    }
    Ok((method, payload))
}

/// A ttRPC response: its status, code and message; code 0 is success.
pub fn response(bytes: &[u8]) -> Result<(u64, String), DecodeError> {
    let mut status = (0, String::new());
    for field in Fields::new(bytes) {
        let field = field?;
        if field.number == 1 {
            for field in Fields::new(field.bytes()?) {
                let field = field?;
                match field.number {
                    1 => status.0 = field.number()?,
                    2 => status.1 = field.text()?,
                    _ => {}
                }
            }
        }
    }
    Ok(status)
}

/// The call that a request of the runtime is.
pub fn call(method: &str, payload: &[u8]) -> Result<Call, DecodeError> {
    Ok(match method {
        "Configure" => configure(payload)?,
        "Synchronize" => synchronize(payload)?,
        // Runtimes before NRI 0.12 tell all but some as a change of state.
        "StateChange" => {
            let (event, pod, container) = subject(payload, 2)?;
            happened(event, pod, container)
        }
        "RunPodSandbox" => one(payload, RUN_POD_SANDBOX)?,
        "CreateContainer" => one(payload, CREATE_CONTAINER)?,
        "StartContainer" => one(payload, START_CONTAINER)?,
        "RemoveContainer" => one(payload, REMOVE_CONTAINER)?,
        "Shutdown" => Call::Ignored,
        _ => Call::Unknown,
    })
}

fn one(payload: &[u8], event: u64) -> Result<Call, DecodeError> {
    let (_, pod, container) = subject(payload, 1)?;
    Ok(happened(event, pod, container))
}

fn happened(event: u64, pod: Pod, container: Container) -> Call {
    match event {
        RUN_POD_SANDBOX => Call::Event(Event::SandboxStarted(pod)),
        CREATE_CONTAINER => Call::Event(Event::Creating(pod, container)),
        START_CONTAINER => Call::Event(Event::Starting(pod, container)),
        REMOVE_CONTAINER => Call::Event(Event::Removed(container)),
        _ => Call::Ignored,
    }
}

/// What an event is about: its number, if it has one, its pod, in field `first`, and its
/// container, in the next.
fn subject(payload: &[u8], first: u32) -> Result<(u64, Pod, Container), DecodeError> {
    let (mut event, mut pod, mut container) = (0, Pod::default(), Container::default());
    for field in Fields::new(payload) {
        let field = field?;
        match field.number {
            1 if first == 2 => event = field.number()?,
            number if number == first => pod = read_pod(field.bytes()?)?,
            number if number == first + 1 => container = read_container(field.bytes()?)?,
            _ => {}
        }
    }
    Ok((event, pod, container))
}

fn configure(payload: &[u8]) -> Result<Call, DecodeError> {
    let (mut name, mut version, mut timeout) = (String::new(), String::new(), 0);
    for field in Fields::new(payload) {
        let field = field?;
        match field.number {
            2 => name = field.text()?,
            3 => version = field.text()?,
            5 => timeout = field.number()?,
            _ => {}
        }
    }
    let runtime = format!("{name} {version}");
    Ok(Call::Configure { runtime, timeout })
}

fn synchronize(payload: &[u8]) -> Result<Call, DecodeError> {
    let (mut pods, mut containers, mut more) = (Vec::new(), Vec::new(), false);
    for field in Fields::new(payload) {
        let field = field?;
        match field.number {
            1 => pods.push(read_pod(field.bytes()?)?),
            2 => containers.push(read_container(field.bytes()?)?),
            3 => more = field.number()? != 0,
            _ => {}
        }
    }
    Ok(Call::Synchronize {
        pods,
        containers,
        more,
    })
}

fn read_pod(bytes: &[u8]) -> Result<Pod, DecodeError> {
    let mut pod = Pod::default();
    for field in Fields::new(bytes) {
        let field = field?;
        match field.number {
            1 => pod.id = field.text()?,
            2 => pod.name = field.text()?,
            3 => pod.uid = field.text()?,
            4 => pod.namespace = field.text()?,
            6 => {
                let (key, value) = read_entry(field.bytes()?)?;
                if key.starts_with(OWN) {
                    pod.annotations.insert(key, value);
                }
            }
            _ => {}
        }
    }
    Ok(pod)
}

/// An entry of a map of texts.
fn read_entry(bytes: &[u8]) -> Result<(String, String), DecodeError> {
    let (mut key, mut value) = (String::new(), String::new());
    for field in Fields::new(bytes) {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn read_container(bytes: &[u8]) -> Result<Container, DecodeError> {
    let mut container = Container::default();
    for field in Fields::new(bytes) {
        let field = field?;
        match field.number {
            1 => container.id = field.text()?,
            2 => container.sandbox = field.text()?,
            3 => container.name = field.text()?,
            4 => container.ended = field.number()? == STOPPED,
            _ => {}
        }
    }
    Ok(container)
}

/// The ttRPC request by which a plugin registers: `index` orders plugins.
pub fn register(name: &str, index: &str) -> Vec<u8> {
    let register = Message::new().bytes(1, name).bytes(2, index);
    let request = Message::new()
        .bytes(1, "nri.pkg.api.v1alpha1.Runtime")
        .bytes(2, "RegisterPlugin")
        .bytes(3, register);
    request.as_ref().to_vec()
}

/// A ttRPC response that has something to say.
pub fn success(payload: &Message) -> Vec<u8> {
    Message::new().bytes(2, payload).as_ref().to_vec()
}

/// A ttRPC response that refuses, with a code of gRPC.
pub fn refusal(code: u64, message: &str) -> Vec<u8> {
    let status = Message::new().number(1, code).bytes(2, message);
    Message::new().bytes(1, status).as_ref().to_vec()
}
