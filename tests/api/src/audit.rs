//! The API server's own record of who asked for what.

use serde::Deserialize;

/// One request that was answered, or a watch that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asked: the user, or the one that was impersonated.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural, with its subresource: `pods`, `pods/status`. Empty for paths that are none.
    pub resource: String,
    /// Empty for objects of the cluster and for requests to all namespaces.
    pub namespace: String,
    /// Empty for lists, and for watches of more than one object.
    pub name: String,
    /// HTTP status; 200 for a watch that was opened.
    pub code: u16,
    /// The path and query.
    pub uri: String,
}

impl Request {
    /// Whether it wanted to change something.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// The lines of an audit log. A line that is still being written is left out, and so is
/// the end of a watch: it was counted when it was opened.
pub(crate) fn parse(log: &str) -> Vec<Request> {
    let complete = log.rfind('\n').map_or("", |end| &log[..end]);
    let events = complete
        .lines()
        .filter_map(|line| serde_json::from_str::<Event>(line).ok());
    let mut opened = std::collections::HashSet::new();
    events
        .filter(|event| opened.insert(event.audit_id.clone()))
        .map(Request::from)
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    api_group: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl From<Event> for Request {
    fn from(event: Event) -> Self {
        let object = event.object_ref;
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            subresource => format!("{}/{subresource}", object.resource),
        };
        Self {
            user: event.impersonated_user.unwrap_or(event.user).username,
            verb: event.verb,
            group: object.api_group,
            resource,
            namespace: object.namespace,
            name: object.name,
            code: event.response_status.map_or(0, |status| status.code),
            uri: event.request_uri,
        }
    }
}
