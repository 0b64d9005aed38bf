//! What compiling costs: size of the table and time, for rule maps of growing size.
//!
//! `cargo run --release -p bartizan-policy --example compile_cost [PART OF A NAME]`
//!
//! Not a benchmark harness: each rule map is compiled a few times and the fastest run
//! is printed.
#![expect(clippy::print_stdout, reason = "printing is all it does")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use bartizan_abi::op::{ADDRESS_OPS, FILE_OPS};
use bartizan_policy::compile::compile;
use bartizan_policy::pattern::Pattern;
use bartizan_policy::rule_map::{Cidr, Effect, Matcher, Mode, PolicyInfo, Protocol, Rule, RuleMap};

/// Runs per rule map.
const RUNS: usize = 5;

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    println!(
        "{:<44} {:>6} {:>9} {:>9}",
        "rule map", "rules", "bytes", "ms"
    );
    for (name, map) in [
        ("10 rules", paths(10, 0, 0, 0)),
        ("10 rules, 3 globs", paths(10, 3, 1, 0)),
        ("100 rules, 20 globs", paths(100, 20, 2, 0)),
        ("1,000 rules, no globs", paths(1000, 0, 0, 0)),
        ("1,000 rules, 200 globs", paths(1000, 200, 0, 0)),
        (
            "1,000 rules, 200 globs, 20 any-depth",
            paths(1000, 200, 20, 0),
        ),
        ("the same, 10 lists of callers", paths(1000, 200, 20, 10)),
        ("1 CIDR", cidrs(1, false)),
        ("10,000 CIDRs of IPv4", cidrs(10_000, false)),
        ("10,000 CIDRs of IPv6", cidrs(10_000, true)),
    ] {
        if !name.contains(&wanted) {
            continue;
        }
        let mut fastest = Duration::MAX;
        let mut result = Ok(Vec::new());
        for _ in 0..RUNS {
            let start = Instant::now();
            result = compile(&map);
            fastest = fastest.min(start.elapsed());
        }
        let bytes = match &result {
            Ok(table) => table.len().to_string(),
            Err(error) => error.reason().to_owned(),
        };
        let ms = fastest.as_secs_f64() * 1000.0;
        println!("{name:<44} {:>6} {bytes:>9} {ms:>9.2}", map.rules.len());
    }
}

/// `rules` deny rules of two paths each; of all paths a twentieth are `d/**`, `globs`
/// have globs, and of these `any_depth` are `**/glob`. Every twentieth rule looks at its
/// caller, if there are `lists` of callers.
fn paths(rules: usize, globs: usize, any_depth: usize, lists: usize) -> RuleMap {
    let mut random = Random(7);
    let mut map = rule_map();
    let mut left = globs;
    for number in 0..rules {
        let directory = random.directory();
        let name = random.name();
        let mut paths = vec![match number % 20 {
            0 => format!("{directory}/**"),
            1 => format!("**/{name}"),
            _ => format!("{directory}/{name}"),
        }];
        if left > 0 && number % (rules / globs).max(1) == 0 {
            left -= 1;
            let glob = match left % 4 {
                0 => format!("{}*", random.name()),
                1 => format!("*.{}", random.name()),
                2 => format!("*-{}", random.name()),
                _ => format!(".{}_*", random.name()),
            };
            let directory = if left < any_depth { "**" } else { &directory };
            paths.push(format!("{directory}/{glob}"));
        } else {
            paths.push(format!("{}/{}", random.directory(), random.name()));
        }
        let matcher = if number % 2 == 0 {
            Matcher::Files {
                paths: patterns(&paths),
                operations: FILE_OPS,
            }
        } else {
            Matcher::Process {
                paths: patterns(&paths),
            }
        };
        let from = match lists {
            0 => Vec::new(),
            _ if number % 20 == 0 => {
                patterns(&[format!("/usr/lib/program-{}/**", number / 20 % lists)])
            }
            _ => Vec::new(),
        };
        map.rules.push(rule(number, matcher, from));
    }
    map
}

fn cidrs(count: usize, v6: bool) -> RuleMap {
    let mut random = Random(3);
    let addresses = (0..count)
        .map(|_| {
            if v6 {
                let prefix = [32_u8, 40, 44, 48][random.below(4)];
                let high = 0x2000 + random.below(0x800) as u128;
                let bits = high << 112 | u128::from(random.next()) << 48;
                let bits = bits >> (128 - prefix) << (128 - prefix);
                Cidr {
                    address: IpAddr::V6(Ipv6Addr::from(bits)),
                    prefix,
                }
            } else {
                let prefix = [16_u8, 20, 22, 24, 24, 24, 32][random.below(7)];
                let bits = random.next() as u32 >> (32 - prefix) << (32 - prefix);
                Cidr {
                    address: IpAddr::V4(Ipv4Addr::from(bits)),
                    prefix,
                }
            }
        })
        .collect();
    let mut map = rule_map();
    let matcher = Matcher::Network {
        operations: ADDRESS_OPS,
        protocols: vec![Protocol::Tcp],
        addresses,
        ports: vec![443..=443, 8000..=8100],
    };
    map.rules.push(rule(0, matcher, Vec::new()));
    map
}

fn rule_map() -> RuleMap {
    RuleMap {
        policies: vec![PolicyInfo {
            namespace: Some("shop".into()),
            name: "costly".into(),
            mode: Mode::Enforce,
            severity: None,
            message: None,
            tags: Vec::new(),
        }],
        rules: Vec::new(),
    }
}

fn rule(number: usize, matcher: Matcher, from: Vec<Pattern>) -> Rule {
    Rule {
        policy: 0,
        name: format!("rule-{number}"),
        effect: Effect::Deny,
        matcher,
        from,
        except_from: Vec::new(),
        unless_owner: false,
    }
}

fn patterns(texts: &[String]) -> Vec<Pattern> {
    texts
        .iter()
        .map(|text| Pattern::parse(text).expect("made of valid parts"))
        .collect()
}

/// A fixed sequence (xorshift), so that every run compiles the same rules.
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

    /// 3 to 12 letters.
    fn name(&mut self) -> String {
        let length = 3 + self.below(10);
        (0..length)
            .map(|_| char::from(b'a' + self.below(26) as u8))
            .collect()
    }

    /// One of some 300 directories, two to five deep.
    fn directory(&mut self) -> String {
        const TOP: [&str; 8] = ["usr", "etc", "var", "opt", "srv", "home", "run", "lib"];
        let top = TOP[self.below(8)];
        let middle = self.below(8);
        match self.below(4) {
            0 => format!("/{top}/share-{middle}"),
            1 => format!("/{top}/share-{middle}/app-{}", self.below(4)),
            2 => format!("/{top}/share-{middle}/app-{}/conf.d", self.below(4)),
            _ => format!(
                "/{top}/share-{middle}/app-{}/data/x86_64-linux-gnu",
                self.below(4)
            ),
        }
    }
}
