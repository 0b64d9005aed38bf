//! Policies of the sizes that are compared. All allow what is measured.
//!
//! Made from one seed, so that every run compiles and enforces the same rules.

use std::fmt::Write as _;

/// Every policy selects one workload by this label.
pub(super) const LABEL: &str = "bench";
/// Opening it is denied by every policy for files.
pub(super) const DENIED_FILE: &str = "/etc/shadow";
/// Connecting to it is denied by every policy for addresses.
pub(super) const DENIED_ADDRESS: &str = "10.0.0.1";

/// Of a thousand rules, the 990 after the tenth have 200 globs in components; of fewer, as
/// large a part.
const GLOBS_OF_990: usize = 200;
/// One of so many globs is at any depth.
const ANYWHERE: usize = 10;
/// Rules of [`everything`].
pub(super) const EVERYTHING_RULES: usize = 13;

/// Ten rules without a glob inside a component: what a web server's policy may say. The
/// directories of the measured paths are names that the table knows, one rule looks at
/// its caller, and programs are found at any depth.
const TEN: &str = r#"  process:
    deny:
      - paths: ["/usr/bin/apt", "/usr/bin/apt-get", "/usr/bin/dpkg"]
      - paths: ["**/curl", "**/wget"]
  files:
    deny:
      - paths: ["/etc/shadow", "/etc/gshadow"]
      - paths: ["/usr/share/nginx/html/.htpasswd"]
        operations: [Read]
      - paths: ["/var/run/secrets/kubernetes.io/**"]
        from: ["/usr/bin/**"]
      - paths: ["/etc/nginx/ssl/**"]
        exceptFrom: ["/usr/sbin/nginx"]
      - paths: ["/root/.ssh/**", "/proc/kcore"]
      - paths: ["/etc/**"]
        operations: [Write, Create, Delete]
      - paths: ["/usr/share/nginx/**"]
        operations: [Write, Delete]
      - paths: ["/srv/www/data/private/**"]
"#;

/// Before rules for files.
const FILES: &str = "  files:\n    deny:\n";

/// What the rules for files are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Files {
    /// 1, or 10 and more.
    pub(super) rules: usize,
    /// Three globs with ten rules, one in five rules with more.
    pub(super) globs: bool,
    /// Some rules look at their caller.
    pub(super) callers: bool,
}

impl Files {
    /// One policy, for the workload `name`.
    pub(super) fn policy(self, name: &str) -> String {
        let mut text = head(name);
        if self.rules == 1 {
            text.push_str("  files:\n    deny:\n      - paths: [\"/etc/shadow\"]\n");
            return text;
        }
        let mut ten = TEN.to_owned();
        if !self.callers {
            let keep = |line: &&str| !line.contains("rom: [");
            ten = TEN
                .lines()
                .filter(keep)
                .fold(String::new(), |mut all, line| {
                    all.push_str(line);
                    all.push('\n');
                    all
                });
        }
        if self.globs {
            ten = ten
                .replace(
                    "\"/usr/share/nginx/html/.htpasswd\"",
                    "\"/usr/share/nginx/html/.ht*\", \"/usr/share/nginx/html/*-secret\"",
                )
                .replace("\"/proc/kcore\"", "\"/proc/kcore\", \"**/*.key\"");
        }
        text.push_str(&ten);
        self.more(&mut text);
        text
    }

    /// The rules after the tenth, all of files.
    fn more(self, text: &mut String) {
        let more = self.rules - 10;
        if more == 0 {
            return;
        }
        let mut random = Random(7);
        let all = more * GLOBS_OF_990 / 990;
        let every = more / all;
        let mut globs = if self.globs { all } else { 0 };
        for number in 0..more {
            let directory = random.directory();
            let path = if globs > 0 && number % every == 0 {
                globs -= 1;
                // No measured name begins or ends with i or l, which names have not.
                let glob = match globs % 4 {
                    0 => format!("{}*", random.name()),
                    1 => format!("*.{}", random.name()),
                    2 => format!("*-{}", random.name()),
                    _ => format!(".{}_*", random.name()),
                };
                let anywhere = globs < all / ANYWHERE;
                format!("{}/{glob}", if anywhere { "**" } else { &directory })
            } else {
                match number % 20 {
                    1 => format!("{directory}/{}/**", random.name()),
                    2 => format!("**/{}", random.name()),
                    _ => format!("{directory}/{}", random.name()),
                }
            };
            let _ = writeln!(text, "      - paths: [\"{path}\"]");
            if number % 20 == 7 {
                let program = number / 20 % 10;
                let _ = writeln!(text, "        from: [\"/usr/lib/program-{program}/**\"]");
            }
        }
    }
}

/// A policy that allows traffic with 127.0.0.1 and `networks` - 1 networks alone.
pub(super) fn networks(name: &str, networks: usize) -> String {
    let mut random = Random(3);
    let mut list = vec!["127.0.0.1/32".to_owned()];
    while list.len() < networks {
        let prefix = [16, 20, 22, 24, 24, 24, 32][random.below(7)];
        let bits = random.next() as u32 >> (32 - prefix) << (32 - prefix);
        // Neither what is measured nor what is denied.
        if !matches!(bits >> 24, 127 | 10) {
            list.push(format!("{}/{prefix}", std::net::Ipv4Addr::from(bits)));
        }
    }
    format!(
        "{}  network:\n    default: Deny\n    allow:\n      - operations: [Connect, Send, Bind]\n        \
         addresses: [\"0.0.0.0/32\", \"{}\"]\n",
        head(name),
        list.join("\", \"")
    )
}

/// A policy for files and programs with as many rules for the same paths, all about opening
/// files: it needs few hooks.
pub(super) fn opening(policy: &str) -> String {
    const RULE: &str = "      - paths:";
    let policy = policy.replace("  process:\n    deny:\n", "");
    let (head, rules) = policy.split_once(RULE).unwrap_or((&policy, ""));
    let mut text = head.replace(FILES, "") + FILES;
    for rule in rules.replace(FILES, "").split(RULE) {
        let _ = write!(text, "{RULE}{rule}");
        if !rule.contains("operations:") {
            text.push_str("        operations: [Read]\n");
        }
    }
    text.replace("[Write, Create, Delete]", "[Write]")
        .replace("[Write, Delete]", "[Write]")
}

/// One rule, with a path to replace, about opening files for reading alone: it needs few
/// hooks, and loading the programs of all of them takes most of a start.
pub(super) fn reading(name: &str) -> String {
    let rule = "  files:\n    deny:\n      - paths: [\"/edited\", \"/etc/shadow\"]\n        \
                operations: [Read]\n";
    head(name) + rule
}

/// A policy that needs every hook.
pub(crate) fn everything(name: &str) -> String {
    let ten = Files {
        rules: 10,
        globs: true,
        callers: true,
    };
    format!(
        "{}  network:\n    deny:\n      - addresses: [\"10.0.0.0/8\"]\n      - sockets: [Raw]\n  \
         capabilities:\n    deny: [{{ capabilities: [SYS_MODULE] }}]\n",
        ten.policy(name)
    )
}

fn head(name: &str) -> String {
    format!(
        "apiVersion: bartizan.dev/v1alpha1\nkind: SecurityPolicy\nmetadata: {{ name: {name} }}\n\
         spec:\n  selector: {{ matchLabels: {{ {LABEL}: {name} }} }}\n  mode: Enforce\n"
    )
}

/// A fixed sequence (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    /// 3 to 12 letters without i and l.
    fn name(&mut self) -> String {
        const LETTERS: &[u8] = b"abcdefghjkmnopqrsuvwxyz";
        let length = 3 + self.below(10);
        (0..length)
            .map(|_| char::from(LETTERS[self.below(LETTERS.len())]))
            .collect()
    }

    /// One of some 300 directories two to five deep, and at times the measured one.
    fn directory(&mut self) -> String {
        const TOP: [&str; 8] = ["usr", "etc", "var", "opt", "srv", "home", "run", "lib"];
        let top = TOP[self.below(8)];
        let (middle, app) = (self.below(8), self.below(4));
        match self.below(16) {
            0 => "/usr/share/nginx/html".to_owned(),
            1..=4 => format!("/{top}/share-{middle}"),
            5..=8 => format!("/{top}/share-{middle}/app-{app}"),
            9..=12 => format!("/{top}/share-{middle}/app-{app}/conf.d"),
            _ => format!("/{top}/share-{middle}/app-{app}/data/x86_64-linux-gnu"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_about_opening_has_all_rules_and_only_such() {
        for rules in [1, 10, 1000] {
            let all = Files {
                rules,
                globs: true,
                callers: true,
            };
            let policy = all.policy("x");
            let opening = opening(&policy);
            let count = |text: &str, word| text.matches(word).count();
            assert_eq!(count(&opening, "- paths:"), rules);
            assert_eq!(count(&policy, "- paths:"), rules);
            assert_eq!(count(&opening, "operations: ["), rules);
            assert_eq!(count(&opening, FILES), 1);
            for word in ["process", "Create", "Delete"] {
                assert_eq!(count(&opening, word), 0, "{word}");
            }
        }
    }
}
