//! `docs/api-reference.md`: every field of every kind, from the schema.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bartizan_crds::definitions;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value as Json;

const HEAD: &str = "\
# API reference

<!-- Written by `cargo xtask generate` from crds/src; changes here get lost. -->

Every field of the objects of `bartizan.dev/v1alpha1`, which `kubectl explain` also shows.
What a policy means is in [`policy-language.md`](policy-language.md), what reasons in a status mean in [`troubleshooting.md`](troubleshooting.md#reasons-in-a-status).
`[]` stands for each element of a list.
An object without a section of its own is the same as at that place of a kind above.
";

/// The page.
pub(crate) fn page() -> String {
    let mut page = Page {
        text: HEAD.to_owned(),
        known: BTreeMap::new(),
    };
    for definition in definitions() {
        page.kind(&definition);
    }
    page.text
}

struct Page {
    text: String,
    /// The fields of all objects so far, by their place, and the kind that has them.
    known: BTreeMap<String, (String, String)>,
}

impl Page {
    fn kind(&mut self, definition: &CustomResourceDefinition) {
        let names = &definition.spec.names;
        let short = names.short_names.iter().flatten().next();
        let scope = match definition.spec.scope.as_str() {
            "Namespaced" => "in a namespace",
            _ => "of the whole cluster",
        };
        let schema = definition.spec.versions[0].schema.as_ref();
        let schema = schema.and_then(|schema| schema.open_api_v3_schema.as_ref());
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        let _ = write!(
            self.text,
            "\n## {}\n\n{}\nAn object {scope}; `kubectl get {}` or `{}`.\n",
            names.kind,
            sentence(&schema),
            names.plural,
            short.map_or("", String::as_str),
        );
        for part in ["spec", "status"] {
            let object = &schema["properties"][part];
            if object.is_object() {
                self.object(&names.kind, part, object);
            }
        }
        for message in messages(&schema) {
            let _ = writeln!(self.text, "\nRefused otherwise: {message}.");
        }
    }

    /// A section for an object, and those of the objects in it.
    fn object(&mut self, kind: &str, place: &str, object: &Json) {
        let rows = rows(object);
        let before = self.known.get(place).filter(|(known, _)| *known == rows);
        let own = match before {
            Some((_, other)) => format!("The same as of a `{other}`.\n"),
            None => format!("| field | type | meaning |\n|---|---|---|\n{rows}"),
        };
        let is_repeated = before.is_some();
        if !(is_repeated && place.contains('.')) {
            let _ = write!(self.text, "\n### {kind} {place}\n\n{own}");
        }
        let entry = (rows, kind.to_owned());
        self.known.entry(place.to_owned()).or_insert(entry);
        let nested = fields(object).filter_map(|(name, field)| {
            let (element, brackets) = match &field["items"] {
                Json::Null => (field, ""),
                items => (items, "[]"),
            };
            let has_fields = element["properties"].is_object();
            has_fields.then(|| (format!("{name}{brackets}"), element))
        });
        // Lists of the same objects, as the rules of a category, have one section.
        let mut sections: Vec<(Vec<String>, &Json)> = Vec::new();
        for (name, element) in nested {
            let same = sections.iter_mut().find(|(_, known)| *known == element);
            match same {
                Some((names, _)) => names.push(name),
                None => sections.push((vec![name], element)),
            }
        }
        for (names, element) in sections {
            self.object(kind, &format!("{place}.{}", names.join(", ")), element);
        }
    }
}

fn fields(object: &Json) -> impl Iterator<Item = (&String, &Json)> {
    object["properties"].as_object().into_iter().flatten()
}

fn rows(object: &Json) -> String {
    let required: Vec<_> = object["required"]
        .as_array()
        .into_iter()
        .flatten()
        .collect();
    let rows = fields(object).map(|(name, field)| {
        let mut notes = Vec::new();
        if required.iter().any(|own| *own == name) {
            notes.push("required".to_owned());
        }
        if let Some(default) = field.get("default") {
            notes.push(format!("default `{}`", plain(default)));
        }
        notes.extend(limits(field));
        let notes = match notes.len() {
            0 => String::new(),
            _ => format!(" ({})", notes.join(", ")),
        };
        let mut sentences = vec![sentence(field)];
        let messages = messages(field).into_iter();
        sentences.extend(messages.map(|message| format!("Refused otherwise: {message}.")));
        let meaning = sentences.join(" ").replace('|', "\\|");
        format!("| `{name}` | {}{notes} | {meaning} |\n", type_of(field))
    });
    rows.collect()
}

/// A field's description in one line.
fn sentence(field: &Json) -> String {
    let text = field["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What the API server says where one of its rules is broken.
fn messages(field: &Json) -> Vec<String> {
    let rules = field["x-kubernetes-validations"].as_array();
    let rules = rules.into_iter().flatten();
    rules
        .filter_map(|rule| rule["message"].as_str().map(str::to_owned))
        .collect()
}

fn type_of(field: &Json) -> String {
    if let Some(values) = field["enum"].as_array() {
        let values: Vec<_> = values
            .iter()
            .map(|one| format!("`{}`", plain(one)))
            .collect();
        return values.join(", ");
    }
    if field["x-kubernetes-int-or-string"] == true {
        return "integer or string".to_owned();
    }
    match field["type"].as_str() {
        Some("array") => format!("list of: {}", type_of(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map to: {}", type_of(&field["additionalProperties"]))
        }
        Some("string") if field["format"] == "date-time" => "time".to_owned(),
        Some(name) => name.to_owned(),
        None => panic!("a field has no type: {field}"),
    }
}

fn limits(field: &Json) -> Option<String> {
    let bounds = [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " elements"),
    ];
    bounds
        .into_iter()
        .find_map(|(min, max, of)| match (field.get(min), field.get(max)) {
            (Some(min), Some(max)) => Some(format!("{} to {}{of}", plain(min), plain(max))),
            (None, Some(max)) => Some(format!("at most {}{of}", plain(max))),
            (Some(min), None) => Some(format!("at least {}{of}", plain(min))),
            (None, None) => None,
        })
}

/// A value without quotation marks, and whole numbers without a point.
fn plain(value: &Json) -> String {
    match (value.as_str(), value.as_f64()) {
        (Some(text), _) => text.to_owned(),
        (_, Some(number)) => format!("{number}"),
        _ => value.to_string(),
    }
}
