//! Rule maps and requests out of the fuzzer's bytes: the compiled tables and the
//! reference must agree. The property tests' generator, steered by coverage.
#![no_main]

use bartizan_policy::compile::compile;
use bartizan_policy::evaluate::{check_table, evaluate};
use bartizan_policy::operation::{Caller, Name, Object, Request};
use bartizan_policy::pattern::Pattern;
use bartizan_policy::reference;
use bartizan_policy::rule_map::{Effect, Matcher, Mode, PolicyInfo, Rule, RuleMap};
use libfuzzer_sys::fuzz_target;

#[path = "../../policy/tests/generate/mod.rs"]
mod generate;

use generate::{Choices, requests, rules};

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else {
        return;
    };
    if kind & 1 == 0 {
        generated(rest);
    } else {
        written(rest);
    }
});

/// A rule map and requests by the generator.
fn generated(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let case = rules::case(&mut choices, 2, 4);
    let requests: Vec<_> = (0..24)
        .map(|_| requests::request(&mut choices, &case))
        .collect();
    agree(&case.map, &requests);
}

/// Lines of text as patterns, the last one as a path.
fn written(bytes: &[u8]) {
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').take(5).collect();
    let path = lines.pop().unwrap_or_default();
    let mut map = RuleMap::default();
    map.policies.push(PolicyInfo {
        namespace: None,
        name: "fuzz".to_owned(),
        mode: Mode::Enforce,
        severity: None,
        message: None,
        tags: Vec::new(),
    });
    for line in lines {
        let Ok(pattern) = str::from_utf8(line)
            .map_err(drop)
            .and_then(|text| Pattern::parse(text).map_err(drop))
        else {
            continue;
        };
        map.rules.push(Rule {
            policy: 0,
            name: String::new(),
            effect: Effect::Deny,
            matcher: Matcher::Process {
                paths: vec![pattern],
            },
            from: Vec::new(),
            except_from: Vec::new(),
            unless_owner: false,
        });
    }
    let path: Vec<Vec<u8>> = path
        .split(|byte| *byte == b'/')
        .map(<[u8]>::to_vec)
        .collect();
    let path = generate::patterns::join(&path);
    let requests: Vec<Request> = [
        bartizan_abi::op::Operation::Exec,
        bartizan_abi::op::Operation::Rename,
    ]
    .map(|operation| Request {
        operation,
        object: Object::File {
            name: Name::Path(path.clone()),
            owned: false,
        },
        caller: Caller::Runtime,
    })
    .into();
    agree(&map, &requests);
}

fn agree(map: &RuleMap, requests: &[Request]) {
    // What doesn't fit is refused; few patterns with many `**` are enough for that.
    let Ok(table) = compile(map) else { return };
    assert_eq!(check_table(&table), Ok(()));
    for request in requests {
        assert_eq!(
            evaluate(&table, request),
            reference::evaluate(map, request),
            "{request:?} of {map:#?}"
        );
    }
}
