//! YAML text to a tree that knows the place of everything in it.
//!
//! Built from the parser's events and not through serde: one mistake must not hide
//! the next, and each is shown with its line. Values are those of YAML's core schema.
//! Depth, and the nodes that aliases can multiply, are bounded here, so nothing
//! behind this has to fear a tree.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::node::{Entry, Node, Position, Value};

/// Levels of nesting; a policy has 8.
const MAX_LEVELS: usize = 32;
/// Values of a file, each use of an alias counted.
const MAX_VALUES: usize = 1_000_000;

/// Why a text is no YAML that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    pub(super) at: Position,
    pub(super) message: String,
}

/// The documents up to the first error, and that error. Documents without a value
/// are left out.
pub(super) fn parse(text: &str) -> (Vec<Node>, Option<YamlError>) {
    let mut builder = Builder::default();
    let mut error = None;
    for event in Parser::new_from_str(text) {
        let step = event
            .map_err(|e| scan_error(&e, text))
            .and_then(|(e, span)| builder.event(e, span));
        if let Err(e) = step {
            error = Some(e);
            break;
        }
    }
    (builder.documents, error)
}

/// The parser's complaint, with what causes it most often said first.
fn scan_error(error: &ScanError, text: &str) -> YamlError {
    let at = position(*error.marker());
    if let Some((at, message)) = tab(error.info(), at, text) {
        let message = message.to_owned();
        return YamlError { at, message };
    }
    let message = if is_alias(error.info()) {
        "no YAML: text that starts with `*` is an alias; write a pattern in quotes, as in \"**/curl\""
            .to_owned()
    } else if error.info().contains("recursion") {
        too_deep()
    } else {
        format!("no YAML: {}", error.info())
    };
    YamlError { at, message }
}

/// The tab that the parser complains about, if it is one; it may say so before it.
fn tab(info: &str, at: Position, text: &str) -> Option<(Position, &'static str)> {
    let find = |line: u32, of: fn(&str) -> &str| {
        let text = text.lines().nth(line.saturating_sub(1) as usize)?;
        let column = of(text).find('\t')?;
        let column = text[..column].chars().count() as u32 + 1;
        Some(Position { line, column })
    };
    let indent = |line| {
        let at = find(line, |text| &text[..text.len() - text.trim_start().len()])?;
        Some((
            at,
            "no YAML: the line is indented with a tab; indent with spaces",
        ))
    };
    indent(at.line).or_else(|| {
        if !info.contains("tab") && !info.contains("whitespace") {
            return None;
        }
        let inside = || Some((find(at.line, |text| text)?, "no YAML: a tab; write a space"));
        inside().or_else(|| indent(at.line + 1))
    })
}

/// Whether the parser complains about an alias; no policy of ours has one by accident.
fn is_alias(info: &str) -> bool {
    info.contains("unknown anchor") || info.contains("anchor or alias")
}

fn too_deep() -> String {
    format!("nested more than {MAX_LEVELS} levels deep: no policy is")
}

fn position(mark: Marker) -> Position {
    Position {
        line: mark.line() as u32,
        column: mark.col() as u32 + 1,
    }
}

/// A list or map that is not closed yet.
enum Open {
    List(Vec<Node>),
    /// Entries, and a key whose value comes next.
    Map(Vec<Entry>, Option<(String, Position)>),
}

struct Level {
    open: Open,
    at: Position,
    anchor: usize,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    levels: Vec<Level>,
    anchors: HashMap<usize, Node>,
    weight: usize,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let at = position(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(text.into_owned(), style, tag.as_deref(), at)?;
                self.add(Node { at, value }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), at)?;
                self.open(Open::List(Vec::new()), at, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), at)?;
                self.open(Open::Map(Vec::new(), None), at, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(level) = self.levels.pop() else {
                    return Ok(());
                };
                let value = match level.open {
                    Open::List(nodes) => Value::List(nodes),
                    Open::Map(entries, _) => Value::Map(entries),
                };
                self.add(
                    Node {
                        at: level.at,
                        value,
                    },
                    level.anchor,
                )
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    let message = "the alias is inside the value it stands for".to_owned();
                    return Err(YamlError { at, message });
                };
                // Before the copy: this is what an alias bomb multiplies.
                self.weight += node.weight();
                self.check_weight(at)?;
                if self.levels.len() + node.levels() > MAX_LEVELS {
                    return Err(YamlError {
                        at,
                        message: too_deep(),
                    });
                }
                let value = node.value.clone();
                self.add(Node { at, value }, 0)
            }
        }
    }

    fn open(&mut self, open: Open, at: Position, anchor: usize) -> Result<(), YamlError> {
        if self.levels.len() >= MAX_LEVELS {
            return Err(YamlError {
                at,
                message: too_deep(),
            });
        }
        if let Some(Level {
            open: Open::Map(_, None),
            ..
        }) = self.levels.last()
        {
            return Err(complex_key(at));
        }
        self.levels.push(Level { open, at, anchor });
        Ok(())
    }

    fn check_weight(&self, at: Position) -> Result<(), YamlError> {
        if self.weight > MAX_VALUES {
            let message = format!(
                "the file has more than {MAX_VALUES} values, aliases resolved: no policy has"
            );
            return Err(YamlError { at, message });
        }
        Ok(())
    }

    /// Puts a complete value where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        self.weight += 1;
        self.check_weight(node.at)?;
        if anchor != 0 {
            self.weight += node.weight();
            self.anchors.insert(anchor, node.clone());
        }
        match self.levels.last_mut().map(|level| &mut level.open) {
            None if node.value == Value::Null => {}
            None => self.documents.push(node),
            Some(Open::List(nodes)) => nodes.push(node),
            Some(Open::Map(entries, key)) => match key.take() {
                Some((key, at)) => entries.push(Entry {
                    key,
                    at,
                    value: node,
                }),
                None => *key = Some((key_text(&node)?, node.at)),
            },
        }
        Ok(())
    }
}

fn complex_key(at: Position) -> YamlError {
    YamlError {
        at,
        message: "a key is a list, a map or nothing: keys are words".to_owned(),
    }
}

/// Keys that look like numbers or truth values are still words.
fn key_text(node: &Node) -> Result<String, YamlError> {
    match &node.value {
        Value::String(text)
        | Value::Bool(_, text)
        | Value::Integer(_, text)
        | Value::Float(_, text) => Ok(text.clone()),
        Value::Null | Value::List(_) | Value::Map(_) => Err(complex_key(node.at)),
    }
}

fn unknown_tag(tag: &Tag, at: Position) -> YamlError {
    let message = format!(
        "the tag `{}{}` means nothing here: remove it",
        tag.handle, tag.suffix
    );
    YamlError { at, message }
}

fn collection_tag(tag: Option<&Tag>, at: Position) -> Result<(), YamlError> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Err(unknown_tag(tag, at)),
        _ => Ok(()),
    }
}

fn scalar(
    text: String,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Position,
) -> Result<Value, YamlError> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(Value::String(text)),
        Some(tag) => Err(unknown_tag(tag, at)),
        None if style == ScalarStyle::Plain => Ok(plain(text)),
        None => Ok(Value::String(text)),
    }
}

/// An unquoted scalar, by YAML's core schema.
fn plain(text: String) -> Value {
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true, text),
        "false" | "False" | "FALSE" => return Value::Bool(false, text),
        _ => {}
    }
    let integer = match text.get(..2) {
        Some("0x") => i64::from_str_radix(&text[2..], 16).ok(),
        Some("0o") => i64::from_str_radix(&text[2..], 8).ok(),
        _ => text.parse().ok(),
    };
    if let Some(integer) = integer {
        return Value::Integer(integer, text);
    }
    let numeric = text
        .bytes()
        .all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c))
        && text.bytes().any(|c| c.is_ascii_digit());
    match text.parse() {
        Ok(float) if numeric => Value::Float(float, text),
        _ => Value::String(text),
    }
}
