//! A runtime made here talks to the plugin over a socket.

use std::io::{Read, Write};
use std::time::Instant;

use super::frames::{Message, PLUGIN, REQUEST, RESPONSE, RUNTIME, Reassembly};
use super::*;
use crate::protobuf::{Fields, Message as Body};

/// The runtime's side of a connection.
struct Runtime {
    socket: UnixStream,
    reassembly: Reassembly,
    stream: u32,
}

impl Runtime {
    fn new(socket: UnixStream) -> Self {
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        Self {
            socket,
            reassembly: Reassembly::default(),
            stream: 1,
        }
    }

    fn receive(&mut self) -> Message {
        let mut buffer = [0; 1_000];
        loop {
            if let Some(message) = self.reassembly.next_message().unwrap() {
                return message;
            }
            let length = self.socket.read(&mut buffer).unwrap();
            assert_ne!(length, 0, "the plugin hung up");
            self.reassembly.push(&buffer[..length]).unwrap();
        }
    }

    fn registration(&mut self) -> String {
        let message = self.receive();
        assert_eq!(
            (message.connection, message.kind, message.stream),
            (RUNTIME, REQUEST, 1)
        );
        let (method, payload) = messages::request(&message.payload).unwrap();
        let texts = Fields::new(payload).map(|field| field.unwrap().text().unwrap());
        format!("{method} {}", texts.collect::<Vec<_>>().join(" "))
    }

    fn registered(&mut self) {
        let message = Message {
            connection: RUNTIME,
            stream: 1,
            kind: RESPONSE,
            payload: messages::success(&Body::new()),
        };
        self.socket.write_all(&message.encode()).unwrap();
    }

    /// Calls the plugin; the response's payload, or its status.
    fn call(&mut self, method: &str, body: &Body) -> Result<Vec<u8>, (u64, String)> {
        let request = Body::new()
            .bytes(1, "nri.pkg.api.v1alpha1.Plugin")
            .bytes(2, method)
            .bytes(3, body)
            .number(4, 2_000_000_000);
        let message = Message {
            connection: PLUGIN,
            stream: self.stream,
            kind: REQUEST,
            payload: request.as_ref().to_vec(),
        };
        self.socket.write_all(&message.encode()).unwrap();
        let answer = self.receive();
        assert_eq!(
            (answer.connection, answer.kind, answer.stream),
            (PLUGIN, RESPONSE, self.stream)
        );
        self.stream += 2;
        match messages::response(&answer.payload).unwrap() {
            (0, _) => {
                let mut fields = Fields::new(&answer.payload).map(Result::unwrap);
                let payload = fields.find(|field| field.number == 2);
                Ok(payload.map_or(Vec::new(), |field| field.bytes().unwrap().to_vec()))
            }
            status => Err(status),
        }
    }

    fn configure(&mut self, timeout: u64) -> Vec<u8> {
        let body = Body::new()
            .bytes(2, "containerd")
            .bytes(3, "v2.4.2")
            .number(4, 5_000)
            .number(5, timeout);
        self.call("Configure", &body).unwrap()
    }
}

fn pod() -> Body {
    Body::new()
        .bytes(1, "sandbox")
        .bytes(2, "web-1")
        .bytes(3, "uid")
        .bytes(4, "shop")
        .bytes(6, Body::new().bytes(1, "kubernetes.io/x").bytes(2, "y"))
        .bytes(
            6,
            Body::new()
                .bytes(1, "bartizan.dev/startup")
                .bytes(2, "Hold"),
        )
}

fn container(name: &str) -> Body {
    Body::new()
        .bytes(1, format!("id-{name}"))
        .bytes(2, "sandbox")
        .bytes(3, name)
        .number(4, if name == "old" { 4 } else { 3 })
}

/// What a handler was told, in order.
#[derive(Default)]
struct Notes {
    runtime: String,
    events: Vec<Event>,
    patience: Duration,
}

impl Handler for Notes {
    fn configured(&mut self, runtime: &str) {
        runtime.clone_into(&mut self.runtime);
    }

    fn handle(&mut self, event: Event, patience: Duration) -> Result<(), String> {
        self.patience = patience;
        let held = matches!(&event, Event::Creating(_, container) if container.name == "held");
        self.events.push(event);
        if held {
            Err("not yet".to_owned())
        } else {
            Ok(())
        }
    }
}

/// Talks as a runtime does; what the plugin noted, and what ended it.
fn talk(conversation: impl FnOnce(&mut Runtime) + Send) -> (Notes, SessionError) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let plugin = scope.spawn(|| {
            let mut notes = Notes::default();
            let error = serve(ours, &mut notes);
            (notes, error)
        });
        conversation(&mut Runtime::new(theirs));
        plugin.join().unwrap()
    })
}

fn named(name: &str) -> messages::Container {
    messages::Container {
        id: format!("id-{name}"),
        sandbox: "sandbox".to_owned(),
        name: name.to_owned(),
        ended: name == "old",
    }
}

fn known_pod() -> messages::Pod {
    messages::Pod {
        id: "sandbox".to_owned(),
        uid: "uid".to_owned(),
        name: "web-1".to_owned(),
        namespace: "shop".to_owned(),
        annotations: [("bartizan.dev/startup".to_owned(), "Hold".to_owned())].into(),
    }
}

#[test]
fn a_plugin_registers_and_is_told_of_everything_in_order() {
    let (notes, end) = talk(|runtime| {
        assert_eq!(runtime.registration(), "RegisterPlugin bartizan 90");
        // Configure may come before the registration is answered.
        assert_eq!(runtime.configure(2_000), [0x10, 0xa9, 0x08]);
        runtime.registered();
        let part = Body::new().bytes(1, pod()).number(3, 1);
        assert_eq!(runtime.call("Synchronize", &part).unwrap(), [0x10, 1]);
        let rest = Body::new().bytes(2, container("old"));
        assert!(runtime.call("Synchronize", &rest).unwrap().is_empty());
        let sandbox = Body::new().bytes(1, pod());
        runtime.call("RunPodSandbox", &sandbox).unwrap();
        let both = |name| Body::new().bytes(1, pod()).bytes(2, container(name));
        runtime.call("CreateContainer", &both("web")).unwrap();
        runtime.call("StartContainer", &both("web")).unwrap();
        runtime.call("RemoveContainer", &both("web")).unwrap();
    });
    assert_eq!(notes.runtime, "containerd v2.4.2");
    assert_eq!(
        notes.events,
        [
            Event::Synchronized(vec![known_pod()], vec![named("old")]),
            Event::SandboxStarted(known_pod()),
            Event::Creating(known_pod(), named("web")),
            Event::Starting(known_pod(), named("web")),
            Event::Removed(named("web")),
        ]
    );
    assert_eq!(notes.patience, Duration::from_secs(1));
    assert!(matches!(end, SessionError::Closed), "{end}");
}

#[test]
fn older_runtimes_tell_of_changes_of_state() {
    let (notes, _) = talk(|runtime| {
        runtime.registration();
        let change = |event: u64| {
            let change = Body::new().number(1, event).bytes(2, pod());
            change.bytes(3, container("web"))
        };
        for event in [1, 6, 11, 2] {
            runtime.call("StateChange", &change(event)).unwrap();
        }
    });
    assert_eq!(
        notes.events,
        [
            Event::SandboxStarted(known_pod()),
            Event::Starting(known_pod(), named("web")),
            Event::Removed(named("web")),
        ]
    );
}

#[test]
fn a_container_can_be_refused() {
    talk(|runtime| {
        runtime.registration();
        let held = Body::new().bytes(1, pod()).bytes(2, container("held"));
        let refusal = runtime.call("CreateContainer", &held).unwrap_err();
        assert_eq!(refusal, (9, "not yet".to_owned()));
    });
}

#[test]
fn what_is_not_known_is_not_implemented() {
    talk(|runtime| {
        runtime.registration();
        let (code, _) = runtime.call("Levitate", &Body::new()).unwrap_err();
        assert_eq!(code, 12);
    });
}

#[test]
fn a_refused_registration_and_nonsense_end_the_session() {
    let (_, end) = talk(|runtime| {
        runtime.registration();
        let message = Message {
            connection: RUNTIME,
            stream: 1,
            kind: RESPONSE,
            payload: messages::refusal(7, "no such plugin allowed"),
        };
        runtime.socket.write_all(&message.encode()).unwrap();
    });
    assert_eq!(
        end.to_string(),
        "the runtime refused the registration: no such plugin allowed"
    );
    let (_, end) = talk(|runtime| {
        runtime.registration();
        runtime.socket.write_all(&[0xff; 64]).unwrap();
    });
    assert!(matches!(end, SessionError::Frame(_)), "{end}");
}

#[test]
fn the_runtime_goes_on_when_the_main_loop_is_slow_and_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nri.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let (sender, mut requests) = mpsc::channel(4);
    let held = |event: &Event| match event {
        Event::Creating(_, container) if container.name == "held" => Err("busy".to_owned()),
        _ => Ok(()),
    };
    let link = start(path, sender, Box::new(held)).unwrap();
    let both = Body::new().bytes(1, pod()).bytes(2, container("web"));
    for session in 1..=2 {
        let mut runtime = Runtime::new(listener.accept().unwrap().0);
        runtime.registration();
        runtime.configure(100);
        assert!(link.is_connected());
        assert_eq!(link.sessions(), session);
        let start = Instant::now();
        // Nobody answers.
        runtime.call("CreateContainer", &both).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(50));
        assert_eq!(link.late(), session);
        let request = requests.blocking_recv().unwrap();
        assert_eq!(request.event, Event::Creating(known_pod(), named("web")));
        request.answer(Ok(()));
        // But not with one that must not start without its rules.
        let held = Body::new().bytes(1, pod()).bytes(2, container("held"));
        let refusal = runtime.call("CreateContainer", &held).unwrap_err();
        assert_eq!(refusal, (9, "busy".to_owned()));
        assert_eq!((link.late(), link.refused()), (session, session));
        drop(requests.blocking_recv());
    }
}
