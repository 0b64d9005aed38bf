//! A running QEMU: its start, what the guest says about itself, and its end.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::channel::Channel;
use crate::command::line;

/// How a guest ended by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    /// Its script's exit status.
    pub(super) status: u8,
    /// From power-on until the script started.
    pub(super) booted_in: Duration,
}

/// A QEMU process, killed when dropped.
pub(super) struct Running {
    child: Child,
    since: Instant,
    /// The command line, for errors.
    line: String,
}

impl Running {
    const POLL: Duration = Duration::from_millis(20);
    const CONNECT_LIMIT: Duration = Duration::from_secs(20);

    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let line = line(command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = command
            .spawn()
            .with_context(|| format!("can't run {line}"))?;
        Ok(Self {
            child,
            since: Instant::now(),
            line,
        })
    }

    pub(super) fn connect<const N: usize>(
        &mut self,
        channels: &[Channel; N],
    ) -> Result<[UnixStream; N]> {
        let mut streams = Vec::with_capacity(N);
        for channel in channels {
            loop {
                if let Some(stream) = channel.accept() {
                    streams.push(stream);
                    break;
                }
                if self.has_ended()? || self.since.elapsed() > Self::CONNECT_LIMIT {
                    self.stop();
                    bail!("QEMU didn't start: {}\n{}", self.said(), self.line);
                }
                thread::sleep(Self::POLL);
            }
        }
        streams.try_into().ok().context("a channel is missing")
    }

    /// The exit status that the guest reports, and how long it took to boot.
    pub(super) fn wait(&mut self, control: UnixStream, limit: Duration) -> Result<Ended> {
        let control = listen(control);
        let mut booted_in = Duration::ZERO;
        loop {
            let left = limit.saturating_sub(self.since.elapsed());
            let line = match control.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the guest was still running after {limit:?}");
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!(
                        "the guest went down before its script had ended\n{}",
                        self.said()
                    );
                }
            };
            if line == "up" {
                booted_in = self.since.elapsed();
            } else if let Some(status) = line.strip_prefix("exit ") {
                let status = status.parse().context("unknown exit status")?;
                return Ok(Ended { status, booted_in });
            }
        }
    }

    /// Gives the guest a moment to power off, then ends QEMU.
    pub(super) fn stop(&mut self) {
        let patience = Instant::now() + Duration::from_secs(2);
        while Instant::now() < patience && !self.has_ended().unwrap_or(true) {
            thread::sleep(Self::POLL);
        }
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn has_ended(&mut self) -> Result<bool> {
        Ok(self
            .child
            .try_wait()
            .context("can't ask for QEMU's state")?
            .is_some())
    }

    /// QEMU's own words, once it has ended.
    fn said(&mut self) -> String {
        let mut text = String::new();
        if let Some(stderr) = self.child.stderr.take() {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                text.push_str(&line);
                text.push('\n');
            }
        }
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of the control channel; ends with the guest.
fn listen(control: UnixStream) -> Receiver<String> {
    let (lines, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(control).lines().map_while(Result::ok) {
            if lines.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
