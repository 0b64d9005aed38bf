use super::*;

fn parse(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn literal(name: &str) -> Component {
    Component::Literal(name.as_bytes().to_vec())
}

#[track_caller]
fn check_glob(component: &str, yes: &[&[u8]], no: &[&[u8]]) {
    let pattern = parse(&format!("/{component}"));
    let [Component::Glob(glob)] = pattern.components() else {
        panic!("{component} is no glob")
    };
    for name in yes {
        assert!(
            glob.matches(name),
            "{component} should match {}",
            name.escape_ascii()
        );
    }
    for name in no {
        assert!(
            !glob.matches(name),
            "{component} should not match {}",
            name.escape_ascii()
        );
    }
}

#[test]
fn components_are_what_is_between_slashes() {
    assert_eq!(
        parse("/etc/shadow").components(),
        [literal("etc"), literal("shadow")]
    );
    assert_eq!(
        parse("**/curl").components(),
        [Component::AnyDepth, literal("curl")]
    );
    assert_eq!(
        parse("/**/curl").components(),
        parse("**/curl").components()
    );
    assert_eq!(
        parse("/d/**").components(),
        [literal("d"), Component::AnyDepth]
    );
    assert_eq!(parse("/d/**/**").components(), parse("/d/**").components());
    assert_eq!(parse("**/**/x").components(), parse("**/x").components());
    assert_eq!(parse("/").components(), []);
    assert_eq!(parse("/...").components(), [literal("...")]);
}

#[test]
fn a_component_that_matches_one_name_is_a_literal() {
    assert_eq!(parse(r"/a\*b").components(), [literal("a*b")]);
    assert_eq!(parse("/a[*]b").components(), [literal("a*b")]);
    assert_eq!(parse("/{a}b").components(), [literal("ab")]);
    assert_eq!(parse("/{ab,ab}").components(), [literal("ab")]);
    assert_eq!(parse(r"/a,b\\").components(), [literal(r"a,b\")]);
    assert_eq!(parse("/a-b!^").components(), [literal("a-b!^")]);
}

#[test]
fn text_survives() {
    for text in [
        "/",
        "/.?",
        "/{.?,a}",
        "/a",
        "**/x",
        "/**",
        "/a/{b,c*}/[!x-z]?",
        r"/\*\[",
        "/größe/**/日本*",
    ] {
        assert_eq!(parse(text).to_string(), text);
        assert_eq!(parse(text).as_str(), text);
    }
}

#[test]
fn everything_has_two_spellings() {
    for text in ["/**", "**/*", "/**/*", "**/**", "/**/**/*"] {
        assert!(parse(text).is_everything(), "{text}");
    }
    for text in ["/", "/*", "/*/**", "**/?*", "**/x", "/a/**", "/**/*/*"] {
        assert!(!parse(text).is_everything(), "{text}");
    }
}

#[test]
fn globs_match_whole_names() {
    check_glob("a*", &[b"a", b"ab"], &[b"ba", b"A"]);
    check_glob(
        "*.key",
        &[b".key", b"x.key", b".key.key"],
        &[b"key", b"x.keys"],
    );
    check_glob("a*b*c", &[b"abc", b"axbxbxc"], &[b"ab", b"acb"]);
    check_glob("?", &[b"a", b"\xff"], &[b"ab"]);
    check_glob("x?*", &[b"xa", b"xab"], &[b"x"]);
    check_glob("[a-cx]1", &[b"a1", b"c1", b"x1"], &[b"d1", b"a", b"1"]);
    check_glob(
        "[!a-c]1",
        &[b"d1", b"\xff1", "ß1".as_bytes()],
        &[b"a1", b"1"],
    );
    check_glob("[^a]", &[b"b"], &[b"a"]);
    check_glob("[a-]", &[b"a", b"-"], &[b"b"]);
    check_glob("[-a]", &[b"a", b"-"], &[b"b"]);
    check_glob(r"[\]\\]", &[b"]", br"\"], &[b"x"]);
    check_glob("[[x]", &[b"[", b"x"], &[b"]"]);
    check_glob("{a,b*}c", &[b"ac", b"bc", b"bxc"], &[b"c", b"axc"]);
    check_glob("{ab,a}{bc,c}", &[b"abbc", b"abc", b"ac"], &[b"ab", b"abcc"]);
    check_glob("{[0-9],??}", &[b"7", b"ab"], &[b"a", b"abc"]);
    check_glob("*a*a*a*a*a*a*a*b", &[b"aaaaaaab"], &[&[b'a'; 255]]);
}

#[test]
fn a_character_is_a_utf8_sequence_or_a_byte_outside_of_any() {
    check_glob(
        "?x",
        &["ßx".as_bytes(), "日x".as_bytes(), "🦀x".as_bytes()],
        &["ßßx".as_bytes()],
    );
    check_glob(
        "??",
        &["ßß".as_bytes(), b"\xc3a", b"\xc3\xc3", b"\x80\x80"],
        &["ß".as_bytes()],
    );
    // A cut sequence is as many characters as it has bytes.
    check_glob(
        "*???",
        &[b"\xe2\x82a", b"\xf0\x9f\xa6"],
        &["日".as_bytes(), b"\xe2\x82"],
    );
    // Overlong forms and surrogates aren't UTF-8.
    check_glob("???", &[b"\xed\xa0\x80", b"\xe0\x80\x80"], &[]);
    check_glob("[à-ü]", &["é".as_bytes()], &[b"\xc3", "日".as_bytes()]);
    check_glob(
        "*ß",
        &["aß".as_bytes(), b"\xc3\xc3\x9f"],
        &[b"\xc3", b"\x9f"],
    );
}

#[test]
fn what_is_no_pattern_is_refused_with_what_to_write_instead() {
    let long = format!("/{}", "x".repeat(256));
    let too_long = format!("/{}", "x/".repeat(3000));
    let deep = "/x".repeat(65);
    for (text, reason, part) in [
        ("", "EmptyPattern", "empty"),
        ("etc/shadow", "RelativePattern", "start with `/`"),
        ("*.key", "RelativePattern", "`**/`"),
        ("**", "RelativePattern", "`/**`"),
        ("**/", "NotCanonical", "trailing"),
        ("/etc/", "NotCanonical", "trailing"),
        ("//etc", "NotCanonical", "`//`"),
        ("/etc//x", "NotCanonical", "`//`"),
        ("//", "NotCanonical", "trailing"),
        ("/a/./b", "NotCanonical", "`.`"),
        ("/a/../b", "NotCanonical", "`..`"),
        (r"/\.\.", "NotCanonical", r"`\.\.`"),
        ("/{..,a}/b", "NotCanonical", "`{..,a}`"),
        ("/.{a,.}", "NotCanonical", "`.{a,.}`"),
        ("/{b,.}{a,.}", "NotCanonical", "`{b,.}{a,.}`"),
        (&long, "PatternTooLong", "256 bytes"),
        (&too_long, "PatternTooLong", "6001 bytes"),
        (&deep, "PatternTooLong", "65 components"),
        ("/a\0b", "ControlCharacter", "NUL"),
        ("/a\nb", "ControlCharacter", "U+000A"),
        ("/a**", "MisplacedAnyDepth", "`a**`"),
        ("/**.conf", "MisplacedAnyDepth", "`**/`"),
        ("/***", "MisplacedAnyDepth", "`***`"),
        ("/{**,a}", "MisplacedAnyDepth", "`{**,a}`"),
        ("/[a", "MalformedGlob", "`[` without `]`"),
        ("/[a/b]", "MalformedGlob", "`[` without `]`"),
        ("/[!", "MalformedGlob", "`[` without `]`"),
        ("/[a-", "MalformedGlob", "`[` without `]`"),
        ("/{a,b", "MalformedGlob", "`{` without `}`"),
        ("/{a/b}", "MalformedGlob", "`{` without `}`"),
        ("/{", "MalformedGlob", "`{` without `}`"),
        ("/a]", "MalformedGlob", r"`\]`"),
        ("/a}", "MalformedGlob", r"`\}`"),
        ("/[]", "MalformedGlob", "empty"),
        ("/[!]", "MalformedGlob", "empty"),
        ("/[z-a]", "MalformedGlob", "`a-z`"),
        ("/{a,}", "MalformedGlob", "empty"),
        ("/{}", "MalformedGlob", "empty"),
        ("/{a,{b,c}}", "MalformedGlob", "one list"),
        (r"/a\", "MalformedGlob", "backslash"),
        (r"/a\/b", "MalformedGlob", "backslash"),
        (r"/[a\", "MalformedGlob", "backslash"),
    ] {
        let error = Pattern::parse(text).expect_err(text);
        assert_eq!(error.reason(), reason, "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn the_longest_names_and_paths_are_fine() {
    parse(&format!("/{}", "x".repeat(255)));
    parse(&"/x".repeat(64));
    parse(&format!("/**{}", "/x".repeat(64)));
    parse(&format!("/{}*", "{ab,c}".repeat(255)));
    parse(&format!("/{}", "{ab,c}".repeat(255)));
}
