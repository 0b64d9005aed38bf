//! What fits, what doesn't, and that the same rules give the same table.

use super::*;

#[test]
fn order_of_rules_changes_no_outcome_and_the_same_map_gives_the_same_bytes() {
    let paths = [
        "/a/*b",
        "/a/b*",
        "**/c*",
        "/a/**",
        "**/d",
        "/e/{f,g}/h",
        "/a/[x-z]?",
    ];
    let forward = paths
        .iter()
        .fold(Map::new(), |map, path| map.deny_exec(&[path]));
    let backward = paths
        .iter()
        .rev()
        .fold(Map::new(), |map, path| map.deny_exec(&[path]));
    assert_eq!(forward.table().table, forward.table().table);
    let (forward, backward) = (forward.table(), backward.table());
    for path in [
        "/a/b", "/a/bb", "/x/cc", "/e/f/h", "/e/f", "/d", "/a/xx", "/q", "/",
    ] {
        assert_eq!(
            forward.exec(path.as_bytes()),
            backward.exec(path.as_bytes()),
            "{path}"
        );
    }
}

#[test]
fn many_infix_globs_of_one_rule_or_effect_are_fine() {
    let paths: Vec<String> = (0..40).map(|n| format!("**/*secret{n}*")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    check(
        &paths,
        &["/a/my-secret7-x", "/secret39"],
        &["/secret", "/secret7/x"],
    );
    let map = paths
        .iter()
        .fold(Map::new(), |map, path| map.deny_exec(&[path]));
    let both = request(Operation::Exec, file("/secret8-secret3", false), "/x");
    assert_eq!(map.table().ask(&both).rule, Some(3));
}

#[test]
fn ten_thousand_ranges_fit() {
    let addresses = (0..10_000_u32).map(|n| {
        cidr(&format!(
            "{}.{}.{}.0/24",
            n % 223,
            n / 223,
            n.wrapping_mul(7919) % 256
        ))
    });
    let matcher = Matcher::Network {
        operations: ADDRESS_OPS,
        protocols: Vec::new(),
        addresses: addresses.collect(),
        ports: vec![80..=80],
    };
    let map = Map::new().rule(Effect::Deny, matcher, |_| ());
    let table = map.table();
    assert_eq!(table.connect(6, "1.0.239.77", 80), Outcome::Deny);
    assert_eq!(table.connect(6, "1.0.239.77", 81), Outcome::Allow);
    assert_eq!(table.connect(6, "1.0.240.77", 80), Outcome::Allow);
}

#[test]
fn too_many_combinations_are_refused_with_the_rules_that_make_them() {
    let harmless = Map::new().deny_exec(&["/bin/sh", "/etc/**", "**/curl", "/a/*b*"]);
    let map = (0..20).fold(harmless, |map, number| {
        map.deny_files(&[&format!("/srv/**/x{number}/**/y{number}")], |_| ())
    });
    let error = compile(&map.0).unwrap_err();
    assert_eq!(error.reason(), "StateExplosion");
    let CompileError::StateExplosion { what, culprits } = &error else {
        panic!("{error}")
    };
    assert_eq!(*what, "paths of files");
    assert!(
        culprits.iter().all(|culprit| culprit.policy == "shop/web"),
        "{error}"
    );
    assert!(
        culprits.iter().all(|culprit| culprit.rule != "rule-0"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("`/srv/**/x0/**/y0` of rule `rule-1`"),
        "{error}"
    );

    let map = Map::new()
        .deny_exec(&["/bin/sh", "/d/*.conf"])
        .deny_exec(&[&format!("/d/*a{}", "?".repeat(20))]);
    let error = compile(&map.0).unwrap_err();
    assert_eq!(error.reason(), "StateExplosion");
    assert!(error.to_string().contains("`rule-1`"), "{error}");
    assert!(!error.to_string().contains("`rule-0`"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_with_the_rules_that_cost_most() {
    let addresses = (0..60_000_u32).map(|n| {
        let n = n.wrapping_mul(2_654_435_761);
        Cidr {
            address: IpAddr::from(n.to_be_bytes()),
            prefix: 32,
        }
    });
    let matcher = Matcher::Network {
        operations: ADDRESS_OPS,
        protocols: Vec::new(),
        addresses: addresses.collect(),
        ports: Vec::new(),
    };
    let map = Map::new()
        .deny_exec(&["/bin/sh"])
        .rule(Effect::Deny, matcher, |_| ());
    let error = compile(&map.0).unwrap_err();
    assert_eq!(error.reason(), "TableTooLarge");
    let CompileError::TooLarge { bytes, culprits } = &error else {
        panic!("{error}")
    };
    assert!(*bytes > TABLE_SIZE as usize);
    assert_eq!(
        culprits
            .iter()
            .map(|culprit| &culprit.rule[..])
            .collect::<Vec<_>>(),
        ["rule-1"]
    );
}

#[test]
fn limits_are_errors() {
    let mut map = Map::new().deny_exec(&["/a"]);
    let rule = map.0.rules[0].clone();
    map.0.rules = vec![rule; MAX_RULES + 1];
    assert_eq!(compile(&map.0).unwrap_err().reason(), "TooManyRules");

    let map = (0..MAX_SUBJECTS).fold(Map::new(), |map, number| {
        map.deny_files(&["/a"], |rule| {
            rule.from = patterns(&[format!("/bin/program-{number}")]);
        })
    });
    let error = compile(&map.0).unwrap_err();
    assert_eq!(error.reason(), "TooManySubjects", "{error}");
}

#[test]
fn numbers_of_16_bits_are_never_cut() {
    // 2,400 names of 255 bytes have more words than there are numbers, within the size.
    let paths: Vec<String> = (0..2400)
        .map(|n| format!("/{}{n:04}", "n".repeat(251)))
        .collect();
    let map = Map::new().rule(
        Effect::Deny,
        Matcher::Process {
            paths: patterns(&paths),
        },
        |_| (),
    );
    assert_eq!(compile(&map.0).unwrap_err().reason(), "TooManyNumbers");

    let paths: Vec<String> = (0..40_000).map(|n| format!("/{n}")).collect();
    let map = Map::new().rule(
        Effect::Deny,
        Matcher::Process {
            paths: patterns(&paths),
        },
        |_| (),
    );
    assert_eq!(compile(&map.0).unwrap_err().reason(), "TableTooLarge");
}
