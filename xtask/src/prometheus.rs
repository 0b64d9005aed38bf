//! A Prometheus of our own: Debian's, unpacked into the cache and never installed.
//!
//! ```text
//!   configuration ─► prometheus on 127.0.0.1 ─► scrapes, rules ─► query(...)
//!                        └ data in a folder; both gone with the value
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::{paths, setup};

/// Until it counts as not coming up.
const START: Duration = Duration::from_mins(1);
/// Until an answer counts as not coming.
const ANSWER: Duration = Duration::from_secs(10);
/// Between two looks at something that is waited for.
const PAUSE: Duration = Duration::from_millis(100);

/// A program of Debian's package, downloaded once: `prometheus` or `promtool`.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    Ok(setup::unpacked(&["prometheus"])?.join("usr/bin").join(name))
}

/// A Prometheus that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
}

/// One series of an answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Sample {
    /// Its labels.
    pub(crate) metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Sample {
    /// Its value; NaN where the answer has no number.
    pub(crate) fn value(&self) -> f64 {
        self.value.1.parse().unwrap_or(f64::NAN)
    }
}

impl Prometheus {
    /// Starts one with a configuration, in a folder that is made anew and is removed with
    /// it. Returns once it answers.
    pub(crate) fn start(folder: &Path, configuration: &str) -> Result<Self> {
        let program = program("prometheus")?;
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("can't remove {}", folder.display()))?;
        }
        paths::make(folder)?;
        let file = folder.join("prometheus.yaml");
        fs::write(&file, configuration)
            .with_context(|| format!("can't write {}", file.display()))?;
        let log = fs::File::create(folder.join("log")).context("can't make its log")?;
        let address = free_address()?;
        let child = Command::new(&program)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("can't run {}", program.display()))?;
        let mut prometheus = Self {
            child,
            address,
            folder: folder.to_owned(),
        };
        prometheus.wait_until_ready()?;
        Ok(prometheus)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        while self.get("/-/ready").is_err() {
            let ended = self.child.try_wait().context("can't wait for Prometheus")?;
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("Prometheus doesn't come up:\n{log}");
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The value of an expression now, series by series.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<Sample>> {
        let query = percent_encoded(expression);
        let data = self.api(&format!("query?query={query}"))?;
        let result = data["result"].clone();
        serde_json::from_value(result).with_context(|| format!("{expression} is no vector"))
    }

    /// What is at a path below `/api/v1/`.
    pub(crate) fn api(&self, path: &str) -> Result<Value> {
        let body = self.get(&format!("/api/v1/{path}"))?;
        let mut answer: Value = serde_json::from_str(&body).context("no JSON")?;
        ensure!(
            answer["status"] == "success",
            "Prometheus refused {path}: {}",
            answer["error"]
        );
        Ok(answer["data"].take())
    }

    /// Asks until an expression has a value that is as wanted, or fails after `patience`.
    pub(crate) fn wait_for(
        &self,
        expression: &str,
        patience: Duration,
        wanted: impl Fn(f64) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let samples = self.query(expression)?;
            if samples.iter().any(|sample| wanted(sample.value())) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{expression} stays {samples:?}");
            }
            thread::sleep(PAUSE);
        }
    }

    fn get(&self, path: &str) -> Result<String> {
        let (status, body) = get(self.address, path)?;
        // What is wrong with a query comes as JSON with 400 and 422.
        ensure!(
            status < 500 && status != 404,
            "Prometheus answers {path} with {status}: {body}"
        );
        Ok(body)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended by itself; a folder that stays is replaced by the next.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A loopback address that nobody listens on.
fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    listener.local_addr().context("no address")
}

/// Gets a page; its status and body. HTTP/1.0 has neither chunks nor kept connections.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER)
        .with_context(|| format!("nobody listens on {address}"))?;
    stream.set_read_timeout(Some(ANSWER))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .with_context(|| format!("no answer from {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((status.context("no HTTP status")?, body.to_owned()))
}

fn percent_encoded(text: &str) -> String {
    let encoded = text.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_survive_the_way_into_an_address() {
        let query = r#"rate(up{job="a b"}[1m]) > 0"#;
        let encoded = "rate%28up%7Bjob%3D%22a%20b%22%7D%5B1m%5D%29%20%3E%200";
        assert_eq!(percent_encoded(query), encoded);
    }

    #[test]
    fn an_answer_is_labels_and_a_number() {
        let json = r#"{"metric":{"__name__":"up","job":"a"},"value":[1700000000.1,"0.5"]}"#;
        let sample: Sample = serde_json::from_str(json).unwrap();
        assert_eq!(sample.metric["job"], "a");
        assert!((sample.value() - 0.5).abs() < f64::EPSILON);
    }
}
