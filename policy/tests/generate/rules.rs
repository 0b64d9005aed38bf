//! Rule maps as the linker could have made them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bartizan_abi::op::{ADDRESS_OPS, Category, FILE_OPS, Operation, Ops};
use bartizan_policy::pattern::Pattern;
use bartizan_policy::rule_map::{
    Cidr, Effect, Matcher, Mode, PolicyInfo, Protocol, Rule, RuleMap, SocketKind,
};
use bartizan_policy::unix::UnixName;

use super::Choices;
use super::patterns::{self, Tree};

/// A rule map and the trees of its patterns, to make requests of.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The rules.
    pub(crate) map: RuleMap,
    /// Patterns of objects, with the number of their rule.
    pub(crate) paths: Vec<(usize, Tree)>,
    /// Patterns of callers, with the number of their rule.
    pub(crate) callers: Vec<(usize, Tree)>,
}

/// A rule with the trees of its patterns.
struct Draft {
    rule: Rule,
    paths: Vec<Tree>,
    callers: Vec<Tree>,
}

/// Operations that are restricted as a whole.
pub(crate) const RESTRICTED: [Operation; 6] = [
    Operation::Mount,
    Operation::Ptrace,
    Operation::Bpf,
    Operation::UserNamespace,
    Operation::ModuleLoad,
    Operation::IoUring,
];

/// A rule map of at most `policies` policies with at most `rules` rules each.
pub(crate) fn case(choices: &mut Choices, policies: usize, rules: usize) -> Case {
    let mut case = Case {
        map: RuleMap::default(),
        paths: Vec::new(),
        callers: Vec::new(),
    };
    for number in 0..=choices.pick(policies) {
        case.map.policies.push(PolicyInfo {
            namespace: Some("test".to_owned()),
            name: format!("p{number}"),
            mode: choices.of(&[Mode::Enforce, Mode::Audit]),
            severity: None,
            message: None,
            tags: Vec::new(),
        });
        let count = 1 + choices.pick(rules);
        let mut drafts: Vec<Draft> = (0..count).map(|_| draft(choices, number)).collect();
        for category in [
            Category::Process,
            Category::Files,
            Category::Network,
            Category::Capabilities,
        ] {
            if choices.one_in(4) {
                drafts.push(default(category, number));
            }
        }
        drafts.sort_by_key(|draft| (draft.rule.matcher.category(), order(draft.rule.effect)));
        for draft in drafts {
            let place = case.map.rules.len();
            case.map.rules.push(draft.rule);
            case.paths
                .extend(draft.paths.into_iter().map(|tree| (place, tree)));
            case.callers
                .extend(draft.callers.into_iter().map(|tree| (place, tree)));
        }
    }
    case
}

fn order(effect: Effect) -> u8 {
    match effect {
        Effect::Deny => 0,
        Effect::Allow => 1,
        Effect::Audit => 2,
        Effect::DefaultDeny => 3,
    }
}

fn default(category: Category, policy: usize) -> Draft {
    let rule = Rule {
        policy,
        name: format!("{category:?}.default"),
        effect: Effect::DefaultDeny,
        matcher: Matcher::Default(category),
        from: Vec::new(),
        except_from: Vec::new(),
        unless_owner: false,
    };
    Draft {
        rule,
        paths: Vec::new(),
        callers: Vec::new(),
    }
}

fn draft(choices: &mut Choices, policy: usize) -> Draft {
    let effect = choices.of(&[Effect::Deny, Effect::Allow, Effect::Audit, Effect::Deny]);
    let mut paths = Vec::new();
    let mut unless_owner = false;
    let matcher = match choices.pick(10) {
        0..=2 => Matcher::Files {
            operations: operations(choices, FILE_OPS),
            paths: {
                unless_owner = choices.one_in(5);
                some_patterns(choices, &mut paths)
            },
        },
        3 | 4 => Matcher::Process {
            paths: some_patterns(choices, &mut paths),
        },
        5 => network(choices),
        6 => unix(choices, &mut paths),
        7 => Matcher::Sockets {
            kinds: some(choices, socket_kind),
        },
        8 => Matcher::Restrict(choices.of(&RESTRICTED)),
        _ => Matcher::Capabilities {
            capabilities: some(choices, |c| c.pick(41) as u8),
        },
    };
    let asks_for_callers = !matches!(matcher, Matcher::Restrict(_));
    let mut callers = Vec::new();
    let mut from = Vec::new();
    let mut except_from = Vec::new();
    if choices.one_in(4) && asks_for_callers {
        from = some_patterns(choices, &mut callers);
    }
    if choices.one_in(4) && asks_for_callers {
        except_from = some_patterns(choices, &mut callers);
    }
    let name = String::new();
    let rule = Rule {
        policy,
        name,
        effect,
        matcher,
        from,
        except_from,
        unless_owner,
    };
    Draft {
        rule,
        paths,
        callers,
    }
}

/// One to three values.
fn some<T>(choices: &mut Choices, mut one: impl FnMut(&mut Choices) -> T) -> Vec<T> {
    (0..=choices.pick(3)).map(|_| one(choices)).collect()
}

/// Patterns, of which there is at least one; their trees go to `trees`.
fn some_patterns(choices: &mut Choices, trees: &mut Vec<Tree>) -> Vec<Pattern> {
    let mut all = Vec::new();
    for tree in some(choices, patterns::tree) {
        if let Some(pattern) = tree.pattern() {
            all.push(pattern);
            trees.push(tree);
        }
    }
    if all.is_empty() {
        all.push(Pattern::parse("/a").expect("the simplest pattern is one"));
    }
    all
}

/// At least one of these operations; all, once in three times.
fn operations(choices: &mut Choices, known: Ops) -> Ops {
    let all: Vec<Operation> = Operation::ALL
        .iter()
        .copied()
        .filter(|operation| known & operation.bit() != 0)
        .collect();
    if choices.one_in(3) {
        return known;
    }
    some(choices, |choices| choices.of(&all).bit())
        .into_iter()
        .fold(0, |ops, bit| ops | bit)
}

/// Unix sockets by path, whose trees go to `trees`, and by abstract name.
fn unix(choices: &mut Choices, trees: &mut Vec<Tree>) -> Matcher {
    let names = ["@", "@a", "@ab", "@ab\0", "@b", "@com.example", "@\u{e4}"];
    Matcher::Unix {
        operations: operations(choices, ADDRESS_OPS),
        paths: if choices.one_in(3) {
            Vec::new()
        } else {
            some_patterns(choices, trees)
        },
        names: optional(choices, |choices| {
            let name = choices.of(&names);
            let open = if name == "@" || choices.one_in(2) {
                "*"
            } else {
                ""
            };
            match UnixName::parse(&format!("{name}{open}")) {
                Ok(UnixName::Abstract(name)) => name,
                other => panic!("{name}: {other:?}"),
            }
        }),
    }
}

fn network(choices: &mut Choices) -> Matcher {
    const PROTOCOLS: [Protocol; 4] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp, Protocol::Icmp];
    Matcher::Network {
        operations: operations(choices, ADDRESS_OPS),
        protocols: optional(choices, |choices| choices.of(&PROTOCOLS)),
        addresses: optional(choices, cidr),
        ports: optional(choices, |choices| {
            let ends = [0, 1, 80, 255, 256, 443, 8000, 8100, 65534, 65535];
            let (a, b) = (choices.of(&ends), choices.of(&ends));
            a.min(b)..=a.max(b)
        }),
    }
}

fn optional<T>(choices: &mut Choices, one: impl FnMut(&mut Choices) -> T) -> Vec<T> {
    if choices.one_in(2) {
        some(choices, one)
    } else {
        Vec::new()
    }
}

fn cidr(choices: &mut Choices) -> Cidr {
    if choices.one_in(3) {
        let address = choices.of(&[
            0xfd00_0000_0000_0000_0000_0000_0000_0000,
            1,
            0x2001_0db8_0000_0001_8000_0000_0000_0001,
            u128::MAX,
        ]);
        let prefix = choices.of(&[128, 127, 121, 120, 65, 64, 63, 32, 8, 7, 1, 0]);
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
        Cidr {
            address: IpAddr::V6(Ipv6Addr::from_bits(address & mask)),
            prefix,
        }
    } else {
        let address = choices.of(&[0x0a01_0203, 0x7f00_0001, 0xc000_0280, 0, u32::MAX]);
        let prefix = choices.of(&[32, 31, 25, 24, 23, 17, 16, 9, 8, 7, 1, 0]);
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Cidr {
            address: IpAddr::V4(Ipv4Addr::from_bits(address & mask)),
            prefix,
        }
    }
}

fn socket_kind(choices: &mut Choices) -> SocketKind {
    if choices.one_in(2) {
        SocketKind::IpType(choices.of(&[1, 2, 3, 5]))
    } else {
        SocketKind::Family(choices.of(&[1, 2, 10, 16, 17, 38, 44]))
    }
}
