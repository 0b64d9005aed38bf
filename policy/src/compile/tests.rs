//! Compiled tables, asked as the kernel asks them; the reference must always agree.

mod limits;
mod paths;
mod verdicts;

use std::net::IpAddr;

use bartizan_abi::limits::TABLE_SIZE;
use bartizan_abi::op::{ADDRESS_OPS, Category, FILE_OPS, Operation};
use bartizan_abi::table::{At, Bytes, Table, header};
use bartizan_abi::verdict::Outcome;

use super::*;
use crate::evaluate::{check_table, evaluate};
use crate::operation::{Caller, Name, Object, Request, Verdict};
use crate::pattern::Pattern;
use crate::reference;
use crate::rule_map::{Cidr, Effect, Matcher, Mode, PolicyInfo, Protocol, Rule, SocketKind};

/// A rule map of one enforced and one audited policy.
#[derive(Default)]
struct Map(RuleMap);

impl Map {
    fn new() -> Self {
        let policy = |name: &str, mode| PolicyInfo {
            namespace: Some("shop".into()),
            name: name.into(),
            mode,
            severity: None,
            message: None,
            tags: Vec::new(),
        };
        Self(RuleMap {
            policies: vec![policy("web", Mode::Enforce), policy("trial", Mode::Audit)],
            rules: Vec::new(),
        })
    }

    fn rule(mut self, effect: Effect, matcher: Matcher, change: impl FnOnce(&mut Rule)) -> Self {
        let name = format!("rule-{}", self.0.rules.len());
        let mut rule = Rule {
            policy: 0,
            name,
            effect,
            matcher,
            from: Vec::new(),
            except_from: Vec::new(),
            unless_owner: false,
        };
        change(&mut rule);
        self.0.rules.push(rule);
        self
    }

    fn deny_exec(self, paths: &[&str]) -> Self {
        self.rule(
            Effect::Deny,
            Matcher::Process {
                paths: patterns(paths),
            },
            |_| (),
        )
    }

    fn deny_files(self, paths: &[&str], change: impl FnOnce(&mut Rule)) -> Self {
        self.rule(Effect::Deny, files(paths), change)
    }

    fn default_deny(self, category: Category) -> Self {
        self.rule(Effect::DefaultDeny, Matcher::Default(category), |_| ())
    }

    fn table(&self) -> Compiled<'_> {
        let table = compile(&self.0).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(check_table(&table), Ok(()));
        Compiled {
            map: &self.0,
            table,
        }
    }
}

struct Compiled<'a> {
    map: &'a RuleMap,
    table: Vec<u8>,
}

impl Compiled<'_> {
    /// What the table says; the reference must say the same.
    #[track_caller]
    fn ask(&self, request: &Request) -> Verdict {
        let verdict = evaluate(&self.table, request);
        assert_eq!(
            verdict,
            reference::evaluate(self.map, request),
            "{request:?}"
        );
        verdict
    }

    #[track_caller]
    fn file(&self, operation: Operation, path: &str) -> Outcome {
        self.ask(&request(operation, file(path, false), "/usr/bin/caller"))
            .outcome
    }

    #[track_caller]
    fn exec(&self, path: &[u8]) -> Outcome {
        let object = Object::File {
            name: Name::Path(path.to_vec()),
            owned: false,
        };
        self.ask(&request(Operation::Exec, object, "/usr/bin/caller"))
            .outcome
    }

    #[track_caller]
    fn connect(&self, protocol: u8, address: &str, port: u16) -> Outcome {
        let address: IpAddr = address.parse().unwrap();
        let object = Object::Address {
            protocol,
            address,
            port,
        };
        self.ask(&request(Operation::Connect, object, "/usr/bin/caller"))
            .outcome
    }

    #[track_caller]
    fn socket(&self, family: u8, kind: u8) -> Outcome {
        let object = Object::Socket { family, kind };
        self.ask(&request(Operation::Socket, object, "/usr/bin/caller"))
            .outcome
    }
}

fn patterns(texts: &[impl AsRef<str>]) -> Vec<Pattern> {
    texts
        .iter()
        .map(|text| Pattern::parse(text.as_ref()).unwrap())
        .collect()
}

fn files(paths: &[&str]) -> Matcher {
    Matcher::Files {
        paths: patterns(paths),
        operations: FILE_OPS,
    }
}

fn file(path: &str, owned: bool) -> Object {
    Object::File {
        name: Name::Path(path.into()),
        owned,
    }
}

fn request(operation: Operation, object: Object, caller: &str) -> Request {
    Request {
        operation,
        object,
        caller: Caller::Executable(Name::Path(caller.into())),
    }
}

fn cidr(text: &str) -> Cidr {
    let (address, prefix) = text.split_once('/').unwrap();
    Cidr {
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
    }
}

/// Programs that a deny rule with these patterns denies, and some that it doesn't.
#[track_caller]
fn check(paths: &[&str], denied: &[&str], allowed: &[&str]) {
    let map = Map::new().deny_exec(paths);
    let table = map.table();
    for path in denied {
        assert_eq!(
            table.exec(path.as_bytes()),
            Outcome::Deny,
            "{paths:?} {path}"
        );
    }
    for path in allowed {
        assert_eq!(
            table.exec(path.as_bytes()),
            Outcome::Allow,
            "{paths:?} {path}"
        );
    }
}
