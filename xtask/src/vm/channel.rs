//! A byte stream out of a guest: a socket that QEMU connects a virtio port to.

use std::io::{self, Read as _, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};

/// A port that QEMU has not connected yet.
pub(super) struct Channel {
    listener: UnixListener,
    arguments: [String; 4],
}

impl Channel {
    /// Makes the socket. The guest sees the port under `name`.
    pub(super) fn new(dir: &Path, name: &str) -> Result<Self> {
        let path = dir.join(name);
        let listener = UnixListener::bind(&path)
            .with_context(|| format!("can't make the socket {}", path.display()))?;
        // So that a QEMU that dies at its start doesn't leave us waiting for it.
        listener
            .set_nonblocking(true)
            .context("can't set up a socket")?;
        let arguments = [
            "-chardev".to_owned(),
            format!("socket,id={name},path={}", path.display()),
            "-device".to_owned(),
            format!("virtserialport,chardev={name},name={name}"),
        ];
        Ok(Self {
            listener,
            arguments,
        })
    }

    /// What QEMU has to be told.
    pub(super) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The connection, once QEMU has made it.
    pub(super) fn accept(&self) -> Option<UnixStream> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(false).ok()?;
        Some(stream)
    }
}

/// Copies all that comes out of a stream, as it comes, until the guest has ended.
pub(super) struct Copier(JoinHandle<io::Result<()>>);

impl Copier {
    pub(super) fn start(mut stream: UnixStream, mut to: Box<dyn Write + Send>) -> Self {
        Self(thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let count = stream.read(&mut buffer)?;
                if count == 0 {
                    return to.flush();
                }
                to.write_all(&buffer[..count])?;
                to.flush()?;
            }
        }))
    }

    /// Waits for the end of the stream.
    pub(super) fn finish(self) -> Result<()> {
        let result = self
            .0
            .join()
            .map_err(|_panic| anyhow!("a copying thread panicked"))?;
        result.context("can't pass on the guest's output")
    }
}

/// A buffer that a copying thread fills.
#[derive(Clone, Default)]
pub(super) struct Collected(Arc<Mutex<Vec<u8>>>);

impl Collected {
    /// What has come so far.
    pub(super) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
