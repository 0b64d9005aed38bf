//! The API server without kubectl's own time: `kubectl proxy`, and requests to it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::kubectl::Kubectl;

/// Until an answer counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy on this machine; ends when it is dropped.
pub(crate) struct Proxy {
    child: Child,
    address: String,
}

impl Proxy {
    /// Starts one on a free port.
    pub(crate) fn start(kubectl: &Kubectl) -> Result<Self> {
        let mut child = kubectl.spawn(&["proxy", "--port=0"])?;
        let said = child.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        // Starting to serve on 127.0.0.1:34567
        let address = line.trim().rsplit(' ').next().unwrap_or_default();
        ensure!(address.contains(':'), "the proxy says: {line}");
        Ok(Self {
            address: address.to_owned(),
            child,
        })
    }

    /// Merges something into an object.
    pub(crate) fn patch(&self, path: &str, change: &Value) -> Result<()> {
        let body = change.to_string();
        let mut stream = TcpStream::connect(&self.address).context("reach the proxy")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(
            stream,
            "PATCH {path} HTTP/1.0\r\nHost: localhost\r\n\
             Content-Type: application/merge-patch+json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200 "), "PATCH {path}: {status}");
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
