//! Rules of the categories that have lists of them: from what users write to what they
//! match. Those of `network` are in [`super::network`].

use bartizan_abi::op::{Category, FILE_OPS, Operation, Ops};
use bartizan_crds::{
    CapabilityRule, DefaultAction, FileOperation, FileRule, ProcessRule, RuleHead, Rules,
};

use crate::capability;
use crate::nearest::nearest;
use crate::rule_map::{Effect, Matcher, Rule};

use super::field::{FieldPath, Problems};
use super::list::{each, not_empty, optional, paths, repeated};
use super::names;

/// A rule and where it was written.
pub(super) struct Placed {
    pub(super) rule: Rule,
    pub(super) field: FieldPath,
}

/// The API type of a category's rules.
pub(super) trait ApiRule {
    const CATEGORY: Category;
    /// The category's field in `spec`.
    const FIELD: &'static str;

    fn head(&self) -> &RuleHead;

    /// What the rule matches, or `None` after its problems were noted.
    fn matcher(&self, field: &FieldPath, problems: &mut Problems) -> Option<Matcher>;

    fn unless_owner(&self) -> bool {
        false
    }
}

/// The rules of a category in canonical order: deny, allow, audit, default.
pub(super) fn category<R: ApiRule>(
    rules: Option<&Rules<R>>,
    spec: &FieldPath,
    problems: &mut Problems,
) -> Vec<Placed> {
    let Some(rules) = rules else {
        return Vec::new();
    };
    let field = spec.key(R::FIELD);
    let lists = [
        ("deny", Effect::Deny, &rules.deny),
        ("allow", Effect::Allow, &rules.allow),
        ("audit", Effect::Audit, &rules.audit),
    ];
    let mut placed = Vec::new();
    for (word, effect, list) in lists {
        let list_field = field.key(word);
        if list.as_ref().is_some_and(Vec::is_empty) {
            problems.add(
                list_field.clone(),
                "the list is empty: write a rule or leave it out",
            );
        }
        for (i, api) in list.iter().flatten().enumerate() {
            let place = format!("{}.{word}[{i}]", R::FIELD);
            placed.extend(rule(api, effect, place, list_field.index(i), problems));
        }
    }
    if rules.default == DefaultAction::Deny {
        placed.push(Placed {
            rule: Rule {
                policy: 0,
                name: format!("{}.default", R::FIELD),
                effect: Effect::DefaultDeny,
                matcher: Matcher::Default(R::CATEGORY),
                from: Vec::new(),
                except_from: Vec::new(),
                unless_owner: false,
            },
            field: field.key("default"),
        });
    }
    placed
}

fn rule<R: ApiRule>(
    api: &R,
    effect: Effect,
    place: String,
    field: FieldPath,
    problems: &mut Problems,
) -> Option<Placed> {
    let head = api.head();
    if let Some(name) = &head.name {
        problems.note(field.key("name"), names::rule_name(name));
    }
    let from = optional(
        head.from.as_ref(),
        &field.key("from"),
        "any caller",
        problems,
    );
    let except_from = optional(
        head.except_from.as_ref(),
        &field.key("exceptFrom"),
        "no exception",
        problems,
    );
    let matcher = api.matcher(&field, problems);
    let rule = Rule {
        policy: 0,
        name: head.name.clone().unwrap_or(place),
        effect,
        matcher: matcher?,
        from: from?,
        except_from: except_from?,
        unless_owner: api.unless_owner(),
    };
    Some(Placed { rule, field })
}

impl ApiRule for ProcessRule {
    const CATEGORY: Category = Category::Process;
    const FIELD: &'static str = "process";

    fn head(&self) -> &RuleHead {
        &self.head
    }

    fn matcher(&self, field: &FieldPath, problems: &mut Problems) -> Option<Matcher> {
        Some(Matcher::Process {
            paths: paths(&self.paths, field, problems)?,
        })
    }
}

impl ApiRule for FileRule {
    const CATEGORY: Category = Category::Files;
    const FIELD: &'static str = "files";

    fn head(&self) -> &RuleHead {
        &self.head
    }

    fn matcher(&self, field: &FieldPath, problems: &mut Problems) -> Option<Matcher> {
        let operations = self.operations.as_ref();
        not_empty(
            operations,
            &field.key("operations"),
            "every operation",
            problems,
        );
        repeated(
            self.operations.as_deref().unwrap_or_default(),
            &field.key("operations"),
            problems,
        );
        let operations = operations.map_or(FILE_OPS, |list| {
            list.iter().fold(0, |ops, op| ops | file_ops(*op))
        });
        Some(Matcher::Files {
            paths: paths(&self.paths, field, problems)?,
            operations,
        })
    }

    fn unless_owner(&self) -> bool {
        self.unless_owner
    }
}

/// What a word of `operations` covers.
fn file_ops(operation: FileOperation) -> Ops {
    use Operation::{Append, Chmod, Chown, Create, Delete, Link, Read, Rename, Truncate, Write};
    match operation {
        FileOperation::Read => Read.bit(),
        FileOperation::Write => Write.bit() | Append.bit() | Truncate.bit(),
        FileOperation::Append => Append.bit(),
        FileOperation::Truncate => Truncate.bit(),
        FileOperation::Create => Create.bit(),
        FileOperation::Delete => Delete.bit() | Rename.bit(),
        FileOperation::Rename => Rename.bit(),
        FileOperation::Link => Link.bit(),
        FileOperation::Chmod => Chmod.bit(),
        FileOperation::Chown => Chown.bit(),
    }
}

impl ApiRule for CapabilityRule {
    const CATEGORY: Category = Category::Capabilities;
    const FIELD: &'static str = "capabilities";

    fn head(&self) -> &RuleHead {
        &self.head
    }

    fn matcher(&self, field: &FieldPath, problems: &mut Problems) -> Option<Matcher> {
        let field = field.key("capabilities");
        if self.capabilities.is_empty() {
            problems.add(field, "the list is empty: name a capability");
            return None;
        }
        let capabilities = each(&self.capabilities, &field, problems, |name| {
            capability(name)
        });
        Some(Matcher::Capabilities {
            capabilities: capabilities?,
        })
    }
}

/// The number of a capability, or what is wrong with its name.
fn capability(name: &str) -> Result<u8, String> {
    if let Some(number) = capability::number(name) {
        return Ok(number);
    }
    let upper = name.to_ascii_uppercase();
    let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if capability::number(bare).is_some() {
        let why = if upper.starts_with("CAP_") {
            "without `CAP_`"
        } else {
            "in capitals"
        };
        return Err(format!("capabilities are written {why}: write `{bare}`"));
    }
    if bare == "ALL" {
        return Err("there is no `ALL`: use `default: Deny`".to_owned());
    }
    Err(match nearest(bare, capability::NAMES) {
        Some(known) => format!("unknown capability `{name}`, did you mean `{known}`?"),
        None => format!("unknown capability `{name}`: see capabilities(7)"),
    })
}
