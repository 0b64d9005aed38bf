//! From bytes to characters: what a byte automaton has to remember between two of them.
//!
//! ```text
//!   boundary ─ascii─► boundary        E2 ► node {1 pending} 82 ► node {2 pending} AC ► class
//!            ─stray─► boundary                 else: 1 stray,       else: 2 strays,
//!                                              read on at a boundary
//! ```
//!
//! Nodes whose continuations lead to the same classes are one, so that globs which
//! don't look at single characters beyond ASCII cost a handful of nodes.

use super::super::intern::Interner;
use super::alphabet::Alphabet;

/// Inside of a sequence that is well-formed so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    /// Bytes read of it.
    pub(super) pending: u32,
    /// Ranges of bytes that continue it.
    pub(super) next: Vec<(u8, u8, Step)>,
}

/// What a continuation byte leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Another node.
    Node(u32),
    /// The end of a character of that class.
    Class(u32),
}

/// All nodes, and where each byte leads at a boundary.
pub(super) struct Decoder {
    nodes: Interner<Node>,
    lead: Vec<Option<u32>>,
}

impl Decoder {
    pub(super) fn new(alphabet: &Alphabet) -> Self {
        let mut decoder = Self {
            nodes: Interner::new(),
            lead: vec![None; 256],
        };
        for lead in 0xc2..=0xf4_u32 {
            let (length, bits) = match lead {
                0xc2..=0xdf => (2, lead & 0x1f),
                0xe0..=0xef => (3, lead & 0x0f),
                _ => (4, lead & 0x07),
            };
            let node = decoder.node(alphabet, bits, 1, length);
            decoder.lead[lead as usize] = Some(node);
        }
        decoder
    }

    /// Where a byte from 0x80 on leads at a boundary; `None`: it is a stray byte.
    pub(super) fn lead(&self, byte: u8) -> Option<u32> {
        self.lead[usize::from(byte)]
    }

    pub(super) fn node_at(&self, number: u32) -> std::rc::Rc<Node> {
        self.nodes.value(number)
    }

    /// The node behind `pending` bytes of `length`, which hold the upper bits `bits`.
    fn node(&mut self, alphabet: &Alphabet, bits: u32, pending: u32, length: u32) -> u32 {
        let rest = 6 * (length - pending);
        let shortest = [0, 0, 0x80, 0x800, 0x1_0000][length as usize];
        let mut next: Vec<(u8, u8, Step)> = Vec::new();
        for byte in 0x80..=0xbf_u8 {
            let bits = bits << 6 | u32::from(byte & 0x3f);
            let first = bits << (rest - 6);
            let last = first + (1 << (rest - 6)) - 1;
            let malformed = last < shortest
                || first > 0x10_ffff
                || (0xd800..=0xdfff).contains(&first) && (0xd800..=0xdfff).contains(&last);
            if malformed {
                continue;
            }
            let step = if pending + 1 == length {
                Step::Class(alphabet.class(first))
            } else {
                Step::Node(self.inner(alphabet, bits, pending + 1, length, (first, last)))
            };
            match next.last_mut() {
                Some((_, end, same)) if *end == byte - 1 && *same == step => *end = byte,
                _ => next.push((byte, byte, step)),
            }
        }
        self.nodes.number(Node { pending, next })
    }

    /// [`Self::node`] for a node all of whose continuations are well-formed.
    fn inner(
        &mut self,
        alphabet: &Alphabet,
        bits: u32,
        pending: u32,
        length: u32,
        (first, last): (u32, u32),
    ) -> u32 {
        if let Some(class) = alphabet.class_of_range(first, last) {
            let mut step = Step::Class(class);
            for at in (pending..length).rev() {
                let next = vec![(0x80, 0xbf, step)];
                step = Step::Node(self.nodes.number(Node { pending: at, next }));
            }
            if let Step::Node(node) = step {
                return node;
            }
        }
        self.node(alphabet, bits, pending, length)
    }
}
