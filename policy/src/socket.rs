//! Address families, socket types and IP protocols by name and number.

use bartizan_crds::Socket;

use crate::rule_map::SocketKind;

/// Address families (`AF_*`) that policies can name: the word in policies, the number.
const FAMILIES: [(&str, u8); 16] = [
    ("Unix", 1),
    ("Inet", 2),
    ("Inet6", 10),
    ("Key", 15),
    ("Netlink", 16),
    ("Packet", 17),
    ("Rds", 21),
    ("Can", 29),
    ("Tipc", 30),
    ("Bluetooth", 31),
    ("Alg", 38),
    ("Vsock", 40),
    ("Kcm", 41),
    ("Qipcrtr", 42),
    ("Smc", 43),
    ("Xdp", 44),
];

/// Socket types (`SOCK_*`) that policies can name.
const TYPES: [(&str, u8); 4] = [("Stream", 1), ("Datagram", 2), ("Raw", 3), ("SeqPacket", 5)];

/// IP protocols that policies can name, and those judged as one of them.
const PROTOCOLS: [(&str, u8); 4] = [("TCP", 6), ("UDP", 17), ("SCTP", 132), ("ICMP", 1)];

fn number(table: &[(&str, u8)], name: &str) -> Option<u8> {
    table
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(name))
        .map(|(_, number)| *number)
}

fn name(table: &[(&'static str, u8)], number: u8) -> Option<&'static str> {
    table
        .iter()
        .find(|(_, known)| *known == number)
        .map(|(word, _)| *word)
}

/// Words of a table in lower case, as on the command line.
fn words(table: &[(&'static str, u8)]) -> Vec<String> {
    table.iter().map(|(word, _)| word.to_lowercase()).collect()
}

/// The words for address families.
pub fn families() -> Vec<String> {
    words(&FAMILIES)
}

/// The words for socket types.
pub fn kinds() -> Vec<String> {
    words(&TYPES)
}

/// The words for IP protocols.
pub fn protocols() -> Vec<String> {
    words(&PROTOCOLS)
}

/// The number of an address family, by its name in any case.
pub fn family(word: &str) -> Option<u8> {
    number(&FAMILIES, word)
}

/// The name of an address family, if policies can name it.
pub fn family_name(family: u8) -> Option<&'static str> {
    name(&FAMILIES, family)
}

/// The number of a socket type, by its name in any case (also `dgram`).
pub fn kind(word: &str) -> Option<u8> {
    number(&TYPES, word).or_else(|| word.eq_ignore_ascii_case("dgram").then_some(2))
}

/// The name of a socket type, if policies can name it.
pub fn kind_name(kind: u8) -> Option<&'static str> {
    name(&TYPES, kind)
}

/// The number of an IP protocol, by its name in any case.
pub fn protocol(word: &str) -> Option<u8> {
    number(&PROTOCOLS, word)
}

/// The name of an IP protocol, if policies can name it.
pub fn protocol_name(protocol: u8) -> Option<&'static str> {
    name(&PROTOCOLS, protocol)
}

impl From<Socket> for SocketKind {
    fn from(socket: Socket) -> Self {
        let word = format!("{socket:?}");
        match (family(&word), kind(&word)) {
            (Some(family), _) => Self::Family(family),
            (None, Some(kind)) => Self::IpType(kind),
            (None, None) => unreachable!("every word of the API is in one of the tables"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel() {
        assert_eq!(family("packet"), Some(17));
        assert_eq!(family_name(10), Some("Inet6"));
        assert_eq!(kind("dgram"), Some(2));
        assert_eq!(kind_name(5), Some("SeqPacket"));
        assert_eq!(protocol("tcp"), Some(6));
        assert_eq!(protocol_name(132), Some("SCTP"));
    }

    #[test]
    fn every_word_of_the_api_is_a_family_or_a_type() {
        let schema = schemars::schema_for!(Socket).to_value();
        let words = schema["oneOf"]
            .as_array()
            .expect("an enum with documented variants");
        assert_eq!(words.len(), FAMILIES.len() + TYPES.len());
        for word in words {
            let socket: Socket = serde_json::from_value(word["const"].clone()).unwrap();
            let _: SocketKind = socket.into();
        }
        assert_eq!(SocketKind::from(Socket::Packet), SocketKind::Family(17));
        assert_eq!(SocketKind::from(Socket::Raw), SocketKind::IpType(3));
    }
}
