//! What is measured: operations, and the files they are done to.

use std::fmt;

/// An operation, and on which file if it is one on files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// As the guest's program and results call it.
    pub(super) operation: &'static str,
    /// Empty if there is no file.
    pub(super) path: &'static str,
}

impl Target {
    /// Components of the path, 0 without one.
    pub(super) fn depth(self) -> u32 {
        let names = self.path.split('/').filter(|name| !name.is_empty());
        names.fold(0, |depth, _| depth + 1)
    }

    /// The hook that judges it. (Running a file passes `file_open` as well, which leaves
    /// that to this one.)
    pub(super) fn hook(self) -> &'static str {
        match self.operation {
            "open" => "file_open",
            "exec" => "bprm_check_security",
            "chmod" => "path_chmod",
            "unlink" => "path_unlink",
            "rename" => "path_rename",
            "connect" => "socket_connect",
            "sendto" => "socket_sendmsg",
            "socket" => "socket_create",
            other => other,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.path.is_empty() { "" } else { ":" };
        write!(f, "{}{colon}{}", self.operation, self.path)
    }
}

/// Opening and closing a file.
pub(super) const fn open(path: &'static str) -> Target {
    on(path, "open")
}

const fn on(path: &'static str, operation: &'static str) -> Target {
    Target { operation, path }
}

/// Depths of the paths that stand for all.
pub(super) const DEPTHS: [u32; 4] = [1, 5, 10, 20];
/// Opened: directories are names that the rules use, as far as they go, leaves are not.
pub(super) const OPENED: [&str; 4] = [
    "/f1",
    "/usr/share/nginx/html/index.html",
    WRITTEN[2],
    WRITTEN[3],
];
/// For operations that the rules deny where [`OPENED`] is.
const WRITTEN: [&str; 4] = [
    "/f1",
    "/srv/www/data/sites/banner",
    "/srv/www/data/sites/example/current/public/assets/images/banner",
    "/srv/www/data/sites/example/current/public/assets/images/\
     2026/november/gallery/week/home/large/webp/retina/dark/cached/b",
];
/// The path of the goals.
pub(super) const DEPTH_5: Target = open(OPENED[1]);
/// No component at all: what opening costs besides looking at names.
pub(super) const ROOT: Target = open("/");
/// At depth 5, no component is a name that a rule uses.
pub(super) const UNKNOWN: Target = open("/aaa/bb/ccc/ddd/file");
/// At depth 5, leaves that begin and end so that a glob might match them.
pub(super) const UNDECIDED: [(u32, Target); 3] = [
    (8, open("/usr/share/nginx/html/abcdefgt")),
    (24, open("/usr/share/nginx/html/abcdefghijkmnopqrsuvwxyt")),
    (
        48,
        open("/usr/share/nginx/html/abcdefghijkmnopqrsuvwxyzabcdefghijkmnopqrsuvwxyt"),
    ),
];
/// Operations on files besides opening them.
pub(super) const OTHERS: [&str; 4] = ["exec", "chmod", "unlink", "rename"];
pub(super) const CONNECT: Target = on("", "connect");
pub(super) const SENDTO: Target = on("", "sendto");
pub(super) const SOCKET: Target = on("", "socket");
pub(super) const CAPABLE: Target = on("", "capable");

/// All that is opened.
pub(super) fn opened() -> Vec<Target> {
    let mut all = vec![ROOT];
    all.extend(OPENED.map(open));
    all.push(UNKNOWN);
    all.extend(UNDECIDED.map(|(_, target)| target));
    all
}

/// An operation of [`OTHERS`], or opening, at each of [`DEPTHS`].
pub(super) fn at_depths(operation: &'static str) -> [Target; 4] {
    let paths = if operation == "open" { OPENED } else { WRITTEN };
    paths.map(|path| on(path, operation))
}

/// Opening, and the other operations on files at depth 5.
pub(super) fn at_depth_5() -> Vec<Target> {
    let mut all = opened();
    all.extend(OTHERS.map(|operation| at_depths(operation)[1]));
    all
}

/// All operations on files.
pub(super) fn on_files() -> Vec<Target> {
    let mut all = opened();
    all.extend(OTHERS.into_iter().flat_map(at_depths));
    all
}

/// What is done without files.
pub(super) const WITHOUT_FILES: [Target; 4] = [CONNECT, SENDTO, SOCKET, CAPABLE];

/// Everything.
pub(super) fn all() -> Vec<Target> {
    [on_files(), WITHOUT_FILES.to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_as_deep_as_is_said() {
        for operation in OTHERS.into_iter().chain(["open"]) {
            assert_eq!(at_depths(operation).map(Target::depth), DEPTHS);
        }
        for target in [DEPTH_5, UNKNOWN, UNDECIDED[0].1, UNDECIDED[2].1] {
            assert_eq!(target.depth(), 5);
        }
        assert_eq!([ROOT.depth(), CONNECT.depth()], [0, 0]);
    }

    #[test]
    fn undecided_leaves_are_as_long_as_is_said() {
        for (length, target) in UNDECIDED {
            let leaf = target.path.rsplit('/').next().unwrap();
            assert_eq!(leaf.len(), length as usize);
        }
    }
}
