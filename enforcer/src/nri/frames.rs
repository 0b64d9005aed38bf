//! ttRPC messages over the one socket of a plugin, which carries two connections.
//!
//! ```text
//!   socket  ─► frames      connection u32, length u32, bytes
//!           ─► connection  the bytes of its frames, one behind the other
//!           ─► messages    length u32, stream u32, kind u8, flags u8, payload
//! ```
//!
//! All numbers are big-endian. Frames and messages have nothing to do with each other: a
//! message may be in several frames and a frame may have several messages.

/// Bytes that a frame can carry: a message of full length and its head.
const MAX_FRAME: usize = MAX_PAYLOAD + HEAD;
/// Bytes that a message's payload can have.
const MAX_PAYLOAD: usize = 4 << 20;
/// Bytes in front of a payload.
const HEAD: usize = 10;
/// Bytes of a frame as we send it: the runtime reads into a buffer of that size, and takes
/// a larger frame for an error.
const SENT: usize = 4_096;

/// The connection on which the runtime asks.
pub const PLUGIN: u32 = 1;
/// The connection on which the plugin asks.
pub const RUNTIME: u32 = 2;

/// A message is a request.
pub const REQUEST: u8 = 1;
/// A message is a response.
pub const RESPONSE: u8 = 2;

/// Bytes that no runtime sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A frame that is too long.
    #[error("a frame of {0} bytes is too long")]
    Frame(usize),
    /// A message that is too long.
    #[error("a message of {0} bytes is too long")]
    Message(usize),
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// [`PLUGIN`] or [`RUNTIME`].
    pub connection: u32,
    /// Which call it belongs to.
    pub stream: u32,
    /// [`REQUEST`], [`RESPONSE`] or something else.
    pub kind: u8,
    /// What is in it.
    pub payload: Vec<u8>,
}

impl Message {
    /// The message in frames.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEAD + self.payload.len());
        message.extend_from_slice(&(self.payload.len() as u32).to_be_bytes());
        message.extend_from_slice(&self.stream.to_be_bytes());
        message.extend_from_slice(&[self.kind, 0]);
        message.extend_from_slice(&self.payload);
        let mut frames = Vec::with_capacity(message.len() + 8);
        for part in message.chunks(SENT) {
            frames.extend_from_slice(&self.connection.to_be_bytes());
            frames.extend_from_slice(&(part.len() as u32).to_be_bytes());
            frames.extend_from_slice(part);
        }
        frames
    }
}

/// Puts messages together from whatever was read.
#[derive(Debug, Default)]
pub struct Reassembly {
    socket: Vec<u8>,
    /// Of [`PLUGIN`] and [`RUNTIME`]. What comes on others is nobody's.
    connections: [Vec<u8>; 2],
}

impl Reassembly {
    /// Takes bytes of the socket.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.socket.extend_from_slice(bytes);
        let mut rest = &self.socket[..];
        while let (Some(connection), Some(length)) = (number(rest, 0), number(rest, 4)) {
            let length = length as usize;
            if length > MAX_FRAME {
                return Err(FrameError::Frame(length));
            }
            let Some(part) = rest.get(8..8 + length) else {
                break;
            };
            match connection {
                PLUGIN => self.connections[0].extend_from_slice(part),
                RUNTIME => self.connections[1].extend_from_slice(part),
                _ => {}
            }
            rest = &rest[8 + length..];
        }
        let done = self.socket.len() - rest.len();
        self.socket.drain(..done);
        Ok(())
    }

    /// The next whole message.
    pub fn next_message(&mut self) -> Result<Option<Message>, FrameError> {
        for (bytes, connection) in self.connections.iter_mut().zip([PLUGIN, RUNTIME]) {
            let (Some(length), Some(stream)) = (number(bytes, 0), number(bytes, 4)) else {
                continue;
            };
            let length = length as usize;
            if length > MAX_PAYLOAD {
                return Err(FrameError::Message(length));
            }
            let Some(payload) = bytes.get(HEAD..HEAD + length) else {
                continue;
            };
            let message = Message {
                connection,
                stream,
                kind: bytes[8],
                payload: payload.to_vec(),
            };
            bytes.drain(..HEAD + length);
            return Ok(Some(message));
        }
        Ok(None)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(connection: u32, length: usize) -> Message {
        Message {
            connection,
            stream: 3,
            kind: REQUEST,
            payload: (0..length).map(|number| number as u8).collect(),
        }
    }

    #[test]
    fn a_message_looks_as_the_runtime_writes_it() {
        let bytes = message(PLUGIN, 2).encode();
        let expected = [
            0, 0, 0, 1, 0, 0, 0, 12, // the frame: connection 1, 12 bytes
            0, 0, 0, 2, 0, 0, 0, 3, 1, 0, // the message: 2 bytes, stream 3, a request
            0, 1,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn messages_arrive_however_they_were_cut() {
        let sent = [
            message(RUNTIME, 0),
            message(PLUGIN, 9_000),
            message(PLUGIN, 5),
        ];
        let bytes: Vec<u8> = sent.iter().flat_map(Message::encode).collect();
        for size in [1, 7, 4_096, bytes.len()] {
            let mut reassembly = Reassembly::default();
            let mut received = Vec::new();
            for part in bytes.chunks(size) {
                reassembly.push(part).unwrap();
                while let Some(message) = reassembly.next_message().unwrap() {
                    received.push(message);
                }
            }
            received.sort_by_key(|message| std::cmp::Reverse(message.connection));
            assert_eq!(received, sent, "in parts of {size}");
        }
    }

    #[test]
    fn no_frame_is_longer_than_the_runtimes_buffer() {
        let bytes = message(PLUGIN, 10_000).encode();
        let mut rest = &bytes[..];
        while let Some(length) = number(rest, 4) {
            assert!(length as usize <= SENT);
            rest = &rest[8 + length as usize..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_is_kept() {
        let mut reassembly = Reassembly::default();
        let error = reassembly.push(&[0, 0, 0, 1, 0xff, 0, 0, 0]).unwrap_err();
        assert_eq!(error, FrameError::Frame(0xff00_0000));
        let mut reassembly = Reassembly::default();
        let mut frame = vec![0, 0, 0, 1, 0, 0, 0, 10, 0xff];
        frame.extend_from_slice(&[0; 9]);
        reassembly.push(&frame).unwrap();
        let error = reassembly.next_message().unwrap_err();
        assert_eq!(error, FrameError::Message(0xff00_0000));
    }

    #[test]
    fn frames_of_other_connections_are_dropped() {
        let mut reassembly = Reassembly::default();
        reassembly.push(&message(7, 100).encode()).unwrap();
        assert_eq!(reassembly.next_message(), Ok(None));
    }
}
