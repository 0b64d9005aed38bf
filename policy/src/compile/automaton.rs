//! Automata before they are bytes: what every kind of input compiles to.

/// A deterministic automaton over symbols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Automaton {
    pub(super) states: Vec<State>,
    /// Start states; one for most kinds of input, one per gate for names.
    pub(super) starts: Vec<u32>,
}

/// One state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// What has been matched when the input ends here.
    pub(super) row: u32,
    /// Next state of every symbol without an edge.
    pub(super) default: u32,
    /// Symbol and next state; sorted by symbol.
    pub(super) edges: Vec<(u32, u32)>,
    /// Gate for unknown components, of those that are and aren't the last.
    pub(super) gates: Gates,
}

/// Numbers of gates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Gates {
    pub(super) leaf: Option<u32>,
    pub(super) dir: Option<u32>,
}

impl State {
    /// The next state.
    pub(super) fn next(&self, symbol: u32) -> u32 {
        match self.edges.binary_search_by_key(&symbol, |edge| edge.0) {
            Ok(at) => self.edges[at].1,
            Err(_) => self.default,
        }
    }
}

impl Automaton {
    /// Makes of each state's default whatever most of the symbols `0..alphabet` lead
    /// to, which leaves the fewest edges.
    pub(super) fn with_fewest_edges(mut self, alphabet: u32) -> Self {
        for state in &mut self.states {
            let mut targets: Vec<u32> = state.edges.iter().map(|edge| edge.1).collect();
            targets.sort_unstable();
            let most = targets
                .chunk_by(|a, b| a == b)
                .max_by_key(|group| group.len());
            let Some((most, count)) = most.map(|group| (group[0], group.len() as u32)) else {
                continue;
            };
            if count > alphabet - state.edges.len() as u32 {
                state.edges = (0..alphabet)
                    .map(|symbol| (symbol, state.next(symbol)))
                    .filter(|edge| edge.1 != most)
                    .collect();
                state.default = most;
            }
        }
        self
    }
}
