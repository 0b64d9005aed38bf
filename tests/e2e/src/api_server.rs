//! An API server as far as the node agent asks it: objects from a folder, and nothing is
//! ever said later. `tests/api` has the real one; guests have no room for it.
//!
//! ```text
//!   FOLDER/podenforcements/NAME.json
//!   FOLDER/rulemaps/NAME.json
//! ```

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// A certificate that nobody has signed anything with: the client wants to trust somebody
/// even where nothing is encrypted, and guests have no certificates.
const NOBODY: &str = include_str!("nobody.pem");
const API: &str = "/apis/bartizan.dev/v1alpha1/";

/// The server, a process of its own.
pub(crate) struct ApiServer {
    child: Child,
    folder: PathBuf,
    /// How to reach it.
    pub(crate) kubeconfig: PathBuf,
}

impl ApiServer {
    pub(crate) fn start(scratch: &Path) -> Result<Self> {
        let folder = scratch.join("api");
        for kind in ["podenforcements", "rulemaps"] {
            fs::create_dir_all(folder.join(kind))?;
        }
        let mut child = Command::new(std::env::current_exe()?)
            .arg("api-server")
            .arg(&folder)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        let from = child.stdout.take().context("it has no standard output")?;
        BufReader::new(from).read_line(&mut address)?;
        let kubeconfig = scratch.join("kubeconfig");
        let authority = scratch.join("nobody.pem");
        fs::write(&authority, NOBODY)?;
        let cluster = json!({
            "server": format!("http://{}", address.trim_end()),
            "certificate-authority": authority,
        });
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "guest",
            "clusters": [{ "name": "guest", "cluster": cluster }],
            "users": [{ "name": "guest", "user": {} }],
            "contexts": [{ "name": "guest", "context": { "cluster": "guest", "user": "guest" } }],
        });
        fs::write(&kubeconfig, config.to_string())?;
        Ok(Self {
            child,
            folder,
            kubeconfig,
        })
    }

    /// Makes or replaces an object.
    pub(crate) fn put(&self, kind: &str, name: &str, object: &Value) -> Result<()> {
        let path = self.folder.join(kind).join(format!("{name}.json"));
        Ok(fs::write(path, object.to_string())?)
    }

    /// Removes an object; who asks from now on doesn't find it.
    pub(crate) fn remove(&self, kind: &str, name: &str) -> Result<()> {
        let path = self.folder.join(kind).join(format!("{name}.json"));
        Ok(fs::remove_file(path)?)
    }

    /// Ends it: from now on nobody answers there.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// The side that serves.
pub(crate) fn main(folder: &str) -> ExitCode {
    let Ok(listener) = TcpListener::bind("127.0.0.1:0") else {
        return ExitCode::FAILURE;
    };
    if let Ok(address) = listener.local_addr() {
        println!("{address}");
    }
    for stream in listener.incoming().flatten() {
        let folder = PathBuf::from(folder);
        // A connection that breaks is its client's to open again.
        thread::spawn(move || serve(&stream, &folder));
    }
    ExitCode::SUCCESS
}

fn serve(stream: &TcpStream, folder: &Path) -> Result<()> {
    let mut from = BufReader::new(stream);
    let mut to = stream;
    loop {
        let mut request = String::new();
        if from.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            from.read_line(&mut header)?;
            if header.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        std::io::copy(&mut (&mut from).take(length), &mut std::io::sink())?;
        let target = request.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if query.split('&').any(|word| word == "watch=true") {
            to.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                  Transfer-Encoding: chunked\r\n\r\n",
            )?;
            // Until the client goes.
            from.read_line(&mut String::new())?;
            return Ok(());
        }
        let is_get = request.starts_with("GET ");
        let found = is_get.then(|| find(folder, path.strip_prefix(API)?));
        let (status, body) = match found.flatten() {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", not_found()),
        };
        let body = body.to_string();
        write!(
            to,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}

fn find(folder: &Path, path: &str) -> Option<Value> {
    let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).ok()?).ok();
    if path != "podenforcements" {
        return read(&folder.join(format!("{path}.json")));
    }
    let entries = fs::read_dir(folder.join(path)).ok()?.flatten();
    let items: Vec<_> = entries.filter_map(|entry| read(&entry.path())).collect();
    Some(json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": "PodEnforcementList",
        "metadata": { "resourceVersion": "1" },
        "items": items,
    }))
}

fn not_found() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": "NotFound",
        "code": 404,
        "message": "not here",
    })
}
