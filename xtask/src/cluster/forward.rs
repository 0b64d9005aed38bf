//! Carries connections from a socket of the host's network into the cluster's: a socket
//! stays in the network in which it was made, whoever has it.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Accepts connections, and carries each to `target`, until the process ends.
pub(super) fn start(listener: TcpListener, target: String) {
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let target = target.clone();
            // Whoever connects while the server is down sees its connection closed.
            thread::spawn(move || carry(client, TcpStream::connect(target)?));
        }
    });
}

fn carry(client: TcpStream, server: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_out, server_out) = (client.try_clone()?, server.try_clone()?);
    let answers = thread::spawn(move || copy(server, client_out));
    copy(client, server_out);
    // It copies until the server has said all.
    let _ = answers.join();
    Ok(())
}

/// Copies until the end, and passes the end on.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn both_directions_are_carried_to_their_ends() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = front.local_addr().unwrap();
        start(front, server.local_addr().unwrap().to_string());
        let answering = thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut question = String::new();
            stream.read_to_string(&mut question).unwrap();
            stream
                .write_all(question.to_uppercase().as_bytes())
                .unwrap();
        });
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"question").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answering.join().unwrap();
        assert_eq!(answer, "QUESTION");
    }
}
