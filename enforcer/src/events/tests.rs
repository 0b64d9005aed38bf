//! The decoder on well-formed, odd and hostile records.

use proptest::prelude::*;

use super::*;

/// A record with every byte 0 but those given.
fn record(fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; EVENT_SIZE];
    for (offset, field) in fields {
        bytes[*offset..*offset + field.len()].copy_from_slice(field);
    }
    bytes
}

fn path_at(at: usize, flags: u32, mount: u32, bytes: &[u8]) -> Vec<(usize, Vec<u8>)> {
    vec![
        (
            at + offset_of!(PathBytes, len),
            u32::try_from(bytes.len()).unwrap().to_ne_bytes().to_vec(),
        ),
        (
            at + offset_of!(PathBytes, flags),
            flags.to_ne_bytes().to_vec(),
        ),
        (
            at + offset_of!(PathBytes, mount),
            mount.to_ne_bytes().to_vec(),
        ),
        (at + offset_of!(PathBytes, bytes), bytes.to_vec()),
    ]
}

fn with(fields: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let fields: Vec<(usize, &[u8])> = fields.iter().map(|(o, b)| (*o, b.as_slice())).collect();
    record(&fields)
}

#[test]
fn components_come_out_root_to_leaf() {
    let mut fields = path_at(offset_of!(Event, target), 0, 3, b"apt\0bin\0usr\0");
    fields.push((offset_of!(Event, outcome), vec![1]));
    let denial = decode(&with(&fields)).unwrap();
    let Target::File(Some(path)) = denial.target else {
        panic!("not a file: {:?}", denial.target);
    };
    assert_eq!(
        path.components,
        [b"usr".to_vec(), b"bin".to_vec(), b"apt".to_vec()]
    );
    assert_eq!(path.mount, 3);
    assert_eq!(denial.outcome, Outcome::Deny);
    assert_eq!(denial.operation, Operation::Exec);
}

#[test]
fn flags_of_a_path_are_kept() {
    let at = offset_of!(Event, executable);
    let flags = PATH_CUT | PATH_UNRESOLVED;
    let denial = decode(&with(&path_at(at, flags, 0, b"x\0"))).unwrap();
    let path = denial.executable.unwrap();
    assert!(path.cut && path.unresolved);
    let denial = decode(&with(&path_at(at, PATH_NONE, 0, b""))).unwrap();
    assert_eq!(denial.executable, None);
}

#[test]
fn address_is_decoded_from_its_bytes() {
    let op = [Operation::Connect as u8];
    let v4 = record(&[
        (offset_of!(Event, operation), &op),
        (
            offset_of!(Event, target) + offset_of!(PathBytes, flags),
            &PATH_NONE.to_ne_bytes(),
        ),
        (
            offset_of!(Event, high),
            &(0x0a01_0203_u64 << 32).to_ne_bytes(),
        ),
        (
            offset_of!(Event, detail),
            &(0x1bb_u32 | 6 << 16).to_ne_bytes(),
        ),
    ]);
    assert_eq!(
        decode(&v4).unwrap().target,
        Target::Address {
            protocol: 6,
            address: "10.1.2.3".parse().unwrap(),
            port: 443
        }
    );
    let v6 = record(&[
        (offset_of!(Event, operation), &op),
        (
            offset_of!(Event, target) + offset_of!(PathBytes, flags),
            &PATH_NONE.to_ne_bytes(),
        ),
        (offset_of!(Event, high), &(0xfd00_u64 << 48).to_ne_bytes()),
        (offset_of!(Event, low), &1_u64.to_ne_bytes()),
        (
            offset_of!(Event, detail),
            &(0x35_u32 | 0x11 << 16 | 1 << 24).to_ne_bytes(),
        ),
    ]);
    assert_eq!(
        decode(&v6).unwrap().target,
        Target::Address {
            protocol: 17,
            address: "fd00::1".parse().unwrap(),
            port: 53
        }
    );
}

#[test]
fn unix_sockets_are_decoded_from_their_path_or_name() {
    let at = offset_of!(Event, target);
    let op = [Operation::Connect as u8];
    let by_path = path_at(at, 0, 1, b"x.sock\0run\0");
    let mut by_path = with(&by_path);
    by_path[offset_of!(Event, operation)] = op[0];
    let Target::File(Some(path)) = decode(&by_path).unwrap().target else {
        panic!("no path");
    };
    assert_eq!(path.components, [b"run".to_vec(), b"x.sock".to_vec()]);
    let mut by_name = with(&path_at(at, PATH_ABSTRACT, 0, b"com\0x"));
    by_name[offset_of!(Event, operation)] = op[0];
    assert_eq!(
        decode(&by_name).unwrap().target,
        Target::Abstract(b"com\0x".to_vec())
    );
}

#[test]
fn sockets_capabilities_processes_and_commands_are_decoded_from_detail() {
    let socket = record(&[
        (offset_of!(Event, operation), &[Operation::Socket as u8]),
        (
            offset_of!(Event, detail),
            &(0x11_u32 | 3 << 16).to_ne_bytes(),
        ),
    ]);
    assert_eq!(
        decode(&socket).unwrap().target,
        Target::Socket {
            family: 17,
            kind: 3
        }
    );
    let capable = record(&[
        (offset_of!(Event, operation), &[Operation::Capable as u8]),
        (offset_of!(Event, detail), &13_u32.to_ne_bytes()),
    ]);
    assert_eq!(decode(&capable).unwrap().target, Target::Capability(13));
    for (operation, target) in [
        (Operation::Ptrace, Target::Process(7)),
        (Operation::Bpf, Target::BpfCommand(7)),
        (Operation::IoUring, Target::File(None)),
    ] {
        let restricted = record(&[
            (offset_of!(Event, operation), &[operation as u8]),
            (offset_of!(Event, detail), &7_u32.to_ne_bytes()),
            (
                offset_of!(Event, target) + offset_of!(PathBytes, flags),
                &PATH_NONE.to_ne_bytes(),
            ),
        ]);
        assert_eq!(decode(&restricted).unwrap().target, target);
    }
}

#[test]
fn no_rule_is_none() {
    let event = record(&[(offset_of!(Event, rule), &NO_RULE.to_ne_bytes())]);
    assert_eq!(decode(&event).unwrap().rule, None);
    assert_eq!(decode(&record(&[])).unwrap().rule, Some(0));
}

#[test]
fn bad_records_are_named() {
    assert_eq!(decode(&[0; 7]), Err(DecodeError::Size(7)));
    let operation = record(&[(offset_of!(Event, operation), &[31])]);
    assert_eq!(decode(&operation), Err(DecodeError::Operation(31)));
    let outcome = record(&[(offset_of!(Event, outcome), &[9])]);
    assert_eq!(decode(&outcome), Err(DecodeError::Outcome(9)));
    let at = offset_of!(Event, parent_executable) + offset_of!(PathBytes, len);
    let long = record(&[(at, &5_000_u32.to_ne_bytes())]);
    assert_eq!(decode(&long), Err(DecodeError::PathLength(5_000)));
}

proptest! {
    #[test]
    fn any_bytes_decode_or_fail(bytes in prop::collection::vec(any::<u8>(), EVENT_SIZE)) {
        let _ = decode(&bytes);
    }
}
