//! Patterns with names that match them, and names that almost do.

use bartizan_policy::pattern::Pattern;

use super::Choices;

/// A pattern as a tree, from which both its text and matching paths are made.
#[derive(Clone, Debug)]
pub(crate) struct Tree(Vec<Component>);

#[derive(Clone, Debug)]
enum Component {
    /// `**`
    Deep,
    Name(Vec<Part>),
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Any,
    Run,
    Class {
        negated: bool,
        first: char,
        last: char,
    },
    Either(Vec<Vec<Part>>),
}

/// Characters that get into globs, classes and samples: of 1 to 4 bytes, neighbours of
/// class edges, and those that mean something in a pattern.
const CHARS: [char; 16] = [
    'a', 'b', 'c', 'k', '.', '-', '0', '9', 'A', 'é', 'ê', '日', '🦀', '*', '\\', '{',
];

/// Bytes that are no character.
const STRAY: [&[u8]; 6] = [
    b"\xff",
    b"\xc3",
    b"\xa9",
    b"\xe6\x97",
    b"\xf0\x9f\xa6",
    b"\xc0\xaf",
];

/// Names of lengths around the words that names are read in, some with a twin that
/// differs in the last byte.
fn long_name(choices: &mut Choices) -> String {
    let length = choices.of(&[
        8, 9, 7, 16, 17, 15, 24, 25, 23, 31, 32, 33, 40, 64, 254, 255,
    ]);
    let mut name = "n".repeat(length);
    if choices.one_in(2) {
        name.replace_range(length - 1.., choices.of(&["x", "y"]));
    }
    name
}

/// A name that a policy would write out.
fn literal(choices: &mut Choices) -> String {
    const NAMES: [&str; 20] = [
        "a", "b", "etc", "usr", "bin", "lib", "key", "a.key", "...", ".a", "..b", "b..", "A", "é",
        "日本", "e\u{301}", "a b", "x*y", "-", "nn",
    ];
    match choices.pick(8) {
        7 => long_name(choices),
        _ => choices.of(&NAMES).to_owned(),
    }
}

fn parts(choices: &mut Choices, inside: bool) -> Vec<Part> {
    let count = 1 + choices.pick(3);
    (0..count)
        .map(|_| match choices.pick(if inside { 7 } else { 9 }) {
            0 | 1 => Part::Run,
            2 => Part::Any,
            3 => Part::Text(choices.of(&CHARS).to_string()),
            4 => Part::Text(literal(choices)),
            5 | 6 => {
                let (first, last) = choices.of(&[
                    ('a', 'c'),
                    ('a', 'a'),
                    ('0', '9'),
                    ('é', 'ê'),
                    ('b', '日'),
                    ('~', '\u{a0}'),
                    (' ', '\u{10ffff}'),
                ]);
                Part::Class {
                    negated: choices.one_in(3),
                    first,
                    last,
                }
            }
            _ => {
                let count = 1 + choices.pick(3);
                Part::Either(
                    (0..count)
                        .map(|_| {
                            if choices.one_in(6) {
                                Vec::new()
                            } else {
                                parts(choices, true)
                            }
                        })
                        .collect(),
                )
            }
        })
        .collect()
}

/// Any pattern.
pub(crate) fn tree(choices: &mut Choices) -> Tree {
    let count = 1 + choices.pick(5);
    let mut components = Vec::new();
    for _ in 0..count {
        components.push(match choices.pick(6) {
            0..=2 => Component::Name(vec![Part::Text(literal(choices))]),
            3 | 4 => Component::Name(parts(choices, false)),
            _ => Component::Deep,
        });
    }
    if choices.one_in(24) {
        let more = choices.of(&[30, 57, 60, 62]);
        components.extend((0..more).map(|_| Component::Name(vec![Part::Text("d".to_owned())])));
    }
    Tree(components)
}

impl Tree {
    /// The pattern, if it is one.
    pub(crate) fn pattern(&self) -> Option<Pattern> {
        Pattern::parse(&self.text()).ok()
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (place, component) in self.0.iter().enumerate() {
            match component {
                Component::Deep if place == 0 && self.0.len() > 1 => text.push_str("**"),
                Component::Deep => text.push_str("/**"),
                Component::Name(parts) => {
                    text.push('/');
                    write(parts, &mut text);
                }
            }
        }
        text
    }

    /// A path that matches, as components, unless a choice in it was not possible.
    pub(crate) fn sample(&self, choices: &mut Choices) -> Vec<Vec<u8>> {
        let mut path = Vec::new();
        for (place, component) in self.0.iter().enumerate() {
            match component {
                Component::Name(parts) => {
                    let mut name = Vec::new();
                    fill(parts, choices, &mut name);
                    path.push(name);
                }
                Component::Deep => {
                    let least = usize::from(place + 1 == self.0.len());
                    let count = if choices.one_in(16) {
                        60
                    } else {
                        least + choices.pick(3)
                    };
                    path.extend((0..count).map(|_| name(choices)));
                }
            }
        }
        path
    }
}

fn write(parts: &[Part], text: &mut String) {
    for part in parts {
        match part {
            Part::Text(plain) => {
                for c in plain.chars() {
                    if "*?[]{}\\,".contains(c) {
                        text.push('\\');
                    }
                    text.push(c);
                }
            }
            Part::Any => text.push('?'),
            Part::Run => text.push('*'),
            Part::Class {
                negated,
                first,
                last,
            } => {
                text.push('[');
                text.push_str(if *negated { "!" } else { "" });
                text.push(*first);
                if first != last {
                    text.push('-');
                    text.push(*last);
                }
                text.push(']');
            }
            Part::Either(all) => {
                text.push('{');
                for (place, choice) in all.iter().enumerate() {
                    text.push_str(if place == 0 { "" } else { "," });
                    write(choice, text);
                }
                text.push('}');
            }
        }
    }
}

fn character(choices: &mut Choices, name: &mut Vec<u8>) {
    if choices.one_in(8) {
        name.extend_from_slice(choices.of(&STRAY));
    } else {
        let c = choices.of(&CHARS);
        name.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

fn fill(parts: &[Part], choices: &mut Choices, name: &mut Vec<u8>) {
    for part in parts {
        match part {
            Part::Text(text) => name.extend_from_slice(text.as_bytes()),
            Part::Any | Part::Class { negated: true, .. } => character(choices, name),
            Part::Run => {
                let count = if choices.one_in(24) {
                    40
                } else {
                    choices.pick(4)
                };
                (0..count).for_each(|_| character(choices, name));
            }
            Part::Class { first, last, .. } => {
                let c = choices.of(&[*first, *last]);
                name.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Part::Either(all) => {
                let choice = choices.pick(all.len());
                fill(&all[choice], choices, name);
            }
        }
    }
}

/// Any component of a path.
pub(crate) fn name(choices: &mut Choices) -> Vec<u8> {
    match choices.pick(4) {
        0 | 1 => literal(choices).into_bytes(),
        2 => long_name(choices).into_bytes(),
        _ => {
            let mut name = b"a".to_vec();
            (0..choices.pick(4)).for_each(|_| character(choices, &mut name));
            name
        }
    }
}

/// Any path.
pub(crate) fn path(choices: &mut Choices) -> Vec<Vec<u8>> {
    let depth = if choices.one_in(16) {
        choices.of(&[62, 63, 64, 65, 66])
    } else {
        choices.pick(7)
    };
    (0..depth).map(|_| name(choices)).collect()
}

/// A path that is nearly the one given.
pub(crate) fn mutate(mut path: Vec<Vec<u8>>, choices: &mut Choices) -> Vec<Vec<u8>> {
    let place = choices.pick(path.len() + 1);
    match choices.pick(8) {
        0 => path.truncate(place),
        1 => path.insert(place, name(choices)),
        2 => path.push(name(choices)),
        3 if place < path.len() => drop(path.remove(place)),
        4 if place < path.len() => path[place] = name(choices),
        5 if place < path.len() => character(choices, &mut path[place]),
        6 if place < path.len() => {
            let cut = choices.pick(path[place].len().max(1));
            path[place].truncate(cut);
        }
        7 if place < path.len() => {
            let len = path[place].len();
            if let Some(byte) = path[place].get_mut(choices.pick(len.max(1))) {
                *byte = choices.of(b"aAk\xff\xc3\xa9.").max(1);
            }
        }
        _ => {}
    }
    path
}

/// The bytes of a path that can exist: names are not empty, have no `/` or NUL, and
/// are not `.` or `..`.
pub(crate) fn join(components: &[Vec<u8>]) -> Vec<u8> {
    let mut path = Vec::new();
    for component in components {
        let name: Vec<u8> = component
            .iter()
            .copied()
            .filter(|byte| *byte != b'/' && *byte != 0)
            .collect();
        if !matches!(name.as_slice(), b"" | b"." | b"..") {
            path.push(b'/');
            path.extend(name);
        }
    }
    if path.is_empty() { b"/".to_vec() } else { path }
}
