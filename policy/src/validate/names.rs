//! The syntax of names: policies, namespaces, rules and labels.

use crate::excerpt::excerpt;
use crate::selector::Labels;

/// Why a text is no such name, with a name that would do where there is one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what}: {rule}{}", meant(.hint.as_ref()))]
pub struct NameError {
    text: String,
    what: &'static str,
    rule: &'static str,
    hint: Option<String>,
}

fn meant(hint: Option<&String>) -> String {
    hint.map(|hint| format!("; did you mean `{hint}`?"))
        .unwrap_or_default()
}

const LABEL_RULE: &str =
    "at most 63 lower-case letters, digits and `-`, a letter or digit at both ends";
const SUBDOMAIN_RULE: &str =
    "at most 253 lower-case letters, digits, `-` and `.`, a letter or digit at both ends";
const KEY_RULE: &str = "at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both \
                        ends, after an optional `DOMAIN/`";
const VALUE_RULE: &str =
    "at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends, or nothing";

fn is_dns_label(text: &str) -> bool {
    let ends = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(|c| ends(*c))
        && bytes.last().is_some_and(|c| ends(*c))
        && bytes.iter().all(|c| ends(*c) || *c == b'-')
}

fn is_dns_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        let bytes = part.as_bytes();
        !bytes.is_empty()
            && bytes
                .iter()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == b'-')
            && bytes[0] != b'-'
            && bytes[bytes.len() - 1] != b'-'
    };
    text.len() <= 253 && text.split('.').all(part)
}

fn is_qualified_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(c))
}

/// The nearest text of a syntax: lower case, with `-` for what is not allowed.
fn repaired(text: &str, valid: fn(&str) -> bool) -> Option<String> {
    let lower: String = text
        .trim()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    Some(lower.trim_matches('-').to_owned()).filter(|text| valid(text))
}

fn check(
    text: &str,
    valid: fn(&str) -> bool,
    what: &'static str,
    rule: &'static str,
) -> Result<(), NameError> {
    if valid(text) {
        return Ok(());
    }
    let hint = repaired(text, valid);
    Err(NameError {
        text: excerpt(text).into_owned(),
        what,
        rule,
        hint,
    })
}

/// Checks the name of a policy.
pub(crate) fn policy_name(text: &str) -> Result<(), NameError> {
    check(text, is_dns_subdomain, "name of a policy", SUBDOMAIN_RULE)
}

/// Checks the name of a namespace.
pub fn namespace(text: &str) -> Result<(), NameError> {
    check(text, is_dns_label, "name of a namespace", LABEL_RULE)
}

/// Checks the name of a container.
pub fn container_name(text: &str) -> Result<(), NameError> {
    check(text, is_dns_label, "name of a container", LABEL_RULE)
}

/// Checks the name of a rule.
pub(crate) fn rule_name(text: &str) -> Result<(), NameError> {
    check(text, is_dns_label, "name of a rule", LABEL_RULE)
}

/// A label as command lines have it, `KEY=VALUE`.
pub fn label(text: &str) -> Result<(String, String), NameError> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(plain(text, "label", "write KEY=VALUE"));
    };
    label_key(key)?;
    label_value(value)?;
    Ok((key.to_owned(), value.to_owned()))
}

/// A key that has two values on a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the label `{key}` is given as `{first}` and as `{second}`: leave one out")]
pub struct TwoValues {
    key: String,
    first: String,
    second: String,
}

/// Labels as command lines have them, together.
pub fn labels(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Labels, TwoValues> {
    let mut labels = Labels::new();
    for (key, second) in pairs {
        match labels.insert(key.clone(), second.clone()) {
            Some(first) if first != second => return Err(TwoValues { key, first, second }),
            _ => {}
        }
    }
    Ok(labels)
}

/// Checks the key of a label.
pub(crate) fn label_key(text: &str) -> Result<(), NameError> {
    let valid = |text: &str| match text.split_once('/') {
        Some((domain, name)) => is_dns_subdomain(domain) && is_qualified_name(name),
        None => is_qualified_name(text),
    };
    if valid(text) {
        Ok(())
    } else {
        Err(plain(text, "key of a label", KEY_RULE))
    }
}

/// Checks the value of a label.
pub(crate) fn label_value(text: &str) -> Result<(), NameError> {
    if text.is_empty() || is_qualified_name(text) {
        Ok(())
    } else {
        Err(plain(text, "value of a label", VALUE_RULE))
    }
}

fn plain(text: &str, what: &'static str, rule: &'static str) -> NameError {
    NameError {
        text: excerpt(text).into_owned(),
        what,
        rule,
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_one_value() {
        let pairs = |text: &str| labels(text.split(' ').map(|pair| label(pair).unwrap()));
        assert_eq!(pairs("a=1 b=2 a=1").unwrap().len(), 2);
        assert_eq!(
            pairs("a=1 b=2 a=3").unwrap_err().to_string(),
            "the label `a` is given as `1` and as `3`: leave one out"
        );
    }

    #[test]
    fn names_are_dns_names_and_the_nearest_one_is_suggested() {
        assert_eq!(policy_name("web-lockdown.v2"), Ok(()));
        assert_eq!(rule_name("no-curl"), Ok(()));
        assert_eq!(
            rule_name("No Curl").unwrap_err().to_string(),
            "`No Curl` is no name of a rule: at most 63 lower-case letters, digits and `-`, a \
             letter or digit at both ends; did you mean `no-curl`?"
        );
        for bad in ["", "-a", "a-", "a..b", "a_b", &"a".repeat(254)] {
            assert!(policy_name(bad).is_err(), "{bad}");
        }
        for bad in ["a.b", &"a".repeat(64)] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_have_the_syntax_of_kubernetes() {
        for good in ["app", "app.kubernetes.io/name", "A_b.C-9"] {
            assert_eq!(label_key(good), Ok(()), "{good}");
        }
        for bad in ["", "a/b/c", "/a", "a/", "-a", "Upper.Domain/x", "a b"] {
            assert!(label_key(bad).is_err(), "{bad}");
        }
        assert_eq!(label_value(""), Ok(()));
        assert_eq!(label_value("1.2.3_x"), Ok(()));
        assert!(label_value("a b").is_err());
    }
}
