//! Reads `/proc/PID/mountinfo`.
//!
//! Names in it are bytes with space, tab, newline and backslash as octal escapes.
//! A container chooses its own mount points, so any line may be odd: a line that
//! doesn't parse is an error of the whole table, never a mount that is left out.

/// One mount, as a line of mountinfo shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// Mount id, as `statx` gives it.
    pub id: u64,
    /// Device of the file system: major, minor.
    pub device: (u32, u32),
    /// What is mounted: a path inside the file system, `/` for all of it.
    pub root: Vec<u8>,
    /// Where it is mounted, relative to the process's root.
    pub point: Vec<u8>,
    /// File system type.
    pub kind: Vec<u8>,
}

/// A line that is no mount.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of mountinfo has no valid {field}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// What is missing or wrong.
    pub field: &'static str,
}

/// Parses a whole mountinfo file, in its order.
pub fn parse(text: &[u8]) -> Result<Vec<MountInfo>, ParseError> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(i, line)| parse_line(line).map_err(|field| ParseError { line: i + 1, field }))
        .collect()
}

fn parse_line(line: &[u8]) -> Result<MountInfo, &'static str> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()).ok_or("mount id")?;
    fields.next().ok_or("parent id")?;
    let device = fields.next().and_then(device).ok_or("device")?;
    let root = fields.next().and_then(unescape).ok_or("root")?;
    let point = fields.next().and_then(unescape).ok_or("mount point")?;
    if !point.starts_with(b"/") {
        return Err("mount point");
    }
    fields.next().ok_or("options")?;
    // Optional fields end with a lone hyphen.
    fields.find(|field| *field == b"-").ok_or("separator")?;
    let kind = fields.next().and_then(unescape).ok_or("file system type")?;
    Ok(MountInfo {
        id,
        device,
        root,
        point,
        kind,
    })
}

fn number<T: std::str::FromStr>(field: Option<&[u8]>) -> Option<T> {
    std::str::from_utf8(field?).ok()?.parse().ok()
}

fn device(field: &[u8]) -> Option<(u32, u32)> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    let (major, minor) = (number(field.get(..colon))?, number(field.get(colon + 1..))?);
    // The kernel's own encoding has 12 and 20 bits.
    (major < 1 << 12 && minor < 1 << 20).then_some((major, minor))
}

/// Replaces `\ooo`; `None` for a backslash that starts no octal number.
fn unescape(field: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if *first != b'\\' {
            out.push(*first);
            rest = tail;
            continue;
        }
        let [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] = tail else {
            return None;
        };
        out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
        rest = tail;
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw";

    #[test]
    fn a_line_of_the_manual_page_parses() {
        let mounts = parse(format!("{LINE}\n").as_bytes()).unwrap();
        assert_eq!(
            mounts,
            [MountInfo {
                id: 36,
                device: (98, 0),
                root: b"/mnt1".to_vec(),
                point: b"/mnt 2".to_vec(),
                kind: b"ext3".to_vec(),
            }]
        );
    }

    #[test]
    fn any_number_of_optional_fields_is_accepted() {
        for optional in [
            "",
            "shared:7 ",
            "shared:7 master:1 propagate_from:2 unbindable ",
        ] {
            let line = format!("1 0 0:5 / / rw {optional}- proc proc rw");
            assert_eq!(parse(line.as_bytes()).unwrap()[0].kind, b"proc");
        }
    }

    #[test]
    fn names_that_are_not_utf8_stay_as_they_are() {
        let line = b"1 0 0:5 / /\xff\\134x rw - tmpfs t rw";
        assert_eq!(parse(line).unwrap()[0].point, b"/\xff\\x");
    }

    #[track_caller]
    fn check_error(line: &str, field: &'static str) {
        let text = format!("{LINE}\n{line}\n");
        assert_eq!(
            parse(text.as_bytes()),
            Err(ParseError { line: 2, field }),
            "{line}"
        );
    }

    #[test]
    fn a_broken_line_is_named_with_its_field() {
        check_error("x 0 0:5 / / rw - proc proc rw", "mount id");
        check_error("1 0 5 / / rw - proc proc rw", "device");
        check_error("1 0 4096:0 / / rw - proc proc rw", "device");
        check_error("1 0 0:5 \\09 / rw - proc proc rw", "root");
        check_error("1 0 0:5 / x rw - proc proc rw", "mount point");
        check_error("1 0 0:5 / / rw", "separator");
        check_error("1 0 0:5 / / rw -", "file system type");
    }

    #[test]
    fn the_machine_s_own_table_parses() {
        let text = std::fs::read("/proc/self/mountinfo").unwrap();
        let mounts = parse(&text).unwrap();
        assert!(mounts.iter().any(|mount| mount.point == b"/"));
    }
}
