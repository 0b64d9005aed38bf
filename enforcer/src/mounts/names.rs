//! One object, several names: what the rules say of it by any of them.

/// What an automaton says of the names of one object: of one name, if that includes what
/// it says of the others.
///
/// What is said of a name of `n` components includes what is said of `n` components that
/// no pattern names: whatever accepts an unknown component accepts every other. So if one
/// name's is no more than that of as many unknown components as the other has, the
/// other's includes it. Nothing at all is included in everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    /// A state, or a row.
    pub(super) said: u16,
    /// Of which name.
    pub(super) name: usize,
    /// It includes what is said of all others.
    pub(super) is_complete: bool,
}

impl Joined {
    /// `of` a name, `unknown` of that many components, and whether that is `nothing`;
    /// `None` if `of` the first name is.
    pub(super) fn of(
        names: &[&[u8]],
        of: impl Fn(&[u8]) -> Option<u16>,
        unknown: impl Fn(usize) -> u16,
        nothing: impl Fn(u16) -> bool,
    ) -> Option<Self> {
        let mut joined = Self {
            said: of(names.first()?)?,
            name: 0,
            is_complete: true,
        };
        for (number, name) in names.iter().enumerate().skip(1) {
            let other = of(name);
            let is_included = |said, by| nothing(said) || said == unknown(depth(by));
            if other
                .is_some_and(|other| other == joined.said || is_included(other, names[joined.name]))
            {
                continue;
            }
            match other.filter(|_| is_included(joined.said, name)) {
                Some(said) => (joined.said, joined.name) = (said, number),
                None => joined.is_complete = false,
            }
        }
        Some(joined)
    }
}

fn depth(name: &[u8]) -> usize {
    name.split(|byte| *byte == b'/')
        .filter(|component| !component.is_empty())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says 7 of `/a...`, 8 of `/b...`, nothing (0) of `/n...`, and else the depth; can't
    /// read `/z`.
    fn joined(names: &[&str]) -> Option<Joined> {
        let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
        let of = |name: &[u8]| match name.get(1) {
            Some(b'a') => Some(7),
            Some(b'b') => Some(8),
            Some(b'n') => Some(0),
            Some(b'z') => None,
            _ => Some(depth(name) as u16),
        };
        Joined::of(&names, of, |depth| depth as u16, |said| said == 0)
    }

    #[track_caller]
    fn check(names: &[&str], said: u16, name: usize) {
        let expected = Joined {
            said,
            name,
            is_complete: true,
        };
        assert_eq!(joined(names), Some(expected));
    }

    #[test]
    fn a_name_of_which_nothing_is_said_gives_way() {
        check(&["/a"], 7, 0);
        check(&["/a", "/x"], 7, 0);
        check(&["/x", "/a"], 7, 1);
        check(&["/x", "/y", "/a", "/x"], 7, 2);
        check(&["/a", "/a"], 7, 0);
    }

    #[test]
    fn nothing_gives_way_at_any_depth() {
        check(&["/n/n/n", "/a"], 7, 1);
        check(&["/a", "/n/n/n"], 7, 0);
    }

    #[test]
    fn what_is_said_of_another_depth_is_not_included() {
        assert!(!joined(&["/x/y", "/a"]).unwrap().is_complete);
        assert!(!joined(&["/a", "/x/y"]).unwrap().is_complete);
        check(&["/x/y", "/a/b"], 7, 1);
    }

    #[test]
    fn the_first_of_two_that_differ_stays() {
        let joined = joined(&["/a", "/b"]).unwrap();
        assert_eq!((joined.said, joined.is_complete), (7, false));
    }

    #[test]
    fn a_name_that_cannot_be_read_is_not_included() {
        assert!(!joined(&["/a", "/z"]).unwrap().is_complete);
        assert_eq!(joined(&["/z", "/a"]), None);
    }
}
