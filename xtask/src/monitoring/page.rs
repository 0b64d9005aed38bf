//! Pages for a Prometheus to scrape, served on the loopback.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// How long a scraper may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// A page: its path and its text.
pub(super) type Page = (&'static str, String);

/// Serves pages until this process ends; returns where.
pub(super) fn serve(pages: Vec<Page>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    let address = listener.local_addr().context("no address")?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A scraper that gave up comes again.
            let _ = stream.and_then(|stream| answer(stream, &pages));
        }
    });
    Ok(address)
}

/// Reads one request and answers it.
fn answer(mut stream: TcpStream, pages: &[Page]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(&stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default();
    // The rest is read, or closing would take the answer back.
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    drop(lines);
    let page = pages.iter().find(|(own, _)| *own == path);
    let (status, body) = page.map_or(("404 Not Found", ""), |(_, text)| ("200 OK", text));
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::get;

    #[test]
    fn each_path_has_its_page() {
        let address = serve(vec![("/a", "up 1\n".to_owned())]).unwrap();
        assert_eq!(get(address, "/a").unwrap(), (200, "up 1\n".to_owned()));
        assert_eq!(get(address, "/b").unwrap().0, 404);
    }
}
