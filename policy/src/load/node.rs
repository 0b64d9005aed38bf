//! The tree that a document of a file is, or an object as JSON: values and their places.

/// A place in a file, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: u32,
    /// In characters.
    pub(super) column: u32,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    /// With the text it was written as, as for numbers.
    Bool(bool, String),
    Integer(i64, String),
    /// With a point or an exponent, or too large for an integer.
    Float(f64, String),
    String(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map with its value; keys may come twice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) at: Position,
    pub(super) value: Node,
}

impl Node {
    /// The value of a field, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The value as JSON. Of a key that comes twice the first is taken.
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value, _) => (*value).into(),
            Value::Integer(value, _) => (*value).into(),
            Value::Float(value, _) => (*value).into(),
            Value::String(value) => value.as_str().into(),
            Value::List(nodes) => nodes.iter().map(Node::to_json).collect(),
            Value::Map(entries) => {
                let mut map = serde_json::Map::new();
                for entry in entries {
                    map.entry(&entry.key)
                        .or_insert_with(|| entry.value.to_json());
                }
                map.into()
            }
        }
    }

    /// A tree of JSON. It has no places, so every value gets a line of its own: what
    /// leaves elements out tells them apart by that.
    pub(super) fn from_json(json: &serde_json::Value) -> Self {
        fn node(json: &serde_json::Value, line: &mut u32) -> Node {
            use serde_json::Value as Json;
            *line = line.saturating_add(1);
            let at = Position {
                line: *line,
                column: 1,
            };
            let value = match json {
                Json::Null => Value::Null,
                Json::Bool(value) => Value::Bool(*value, value.to_string()),
                Json::Number(number) => match number.as_i64() {
                    Some(integer) => Value::Integer(integer, number.to_string()),
                    None => Value::Float(number.as_f64().unwrap_or(f64::NAN), number.to_string()),
                },
                Json::String(text) => Value::String(text.clone()),
                Json::Array(list) => Value::List(list.iter().map(|one| node(one, line)).collect()),
                Json::Object(map) => {
                    let entries = map.iter().map(|(key, value)| {
                        let value = node(value, line);
                        let (key, at) = (key.clone(), value.at);
                        Entry { key, at, value }
                    });
                    Value::Map(entries.collect())
                }
            };
            Node { at, value }
        }
        node(json, &mut 0)
    }

    /// What a copy costs: values, and long texts as several.
    pub(super) fn weight(&self) -> usize {
        1 + match &self.value {
            Value::List(nodes) => nodes.iter().map(Node::weight).sum(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| 1 + entry.key.len() / 16 + entry.value.weight())
                .sum(),
            Value::String(text) | Value::Float(_, text) | Value::Integer(_, text) => {
                text.len() / 16
            }
            _ => 0,
        }
    }

    pub(super) fn levels(&self) -> usize {
        1 + match &self.value {
            Value::List(nodes) => nodes.iter().map(Node::levels).max().unwrap_or(0),
            Value::Map(entries) => entries.iter().map(|e| e.value.levels()).max().unwrap_or(0),
            _ => 0,
        }
    }
}
