//! The API server's own record of who asked for what.

use std::collections::HashSet;

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
    let mut seen = HashSet::new();
    events
        .filter(|event| seen.insert(event.audit_id.clone()))
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

#[cfg(test)]
mod tests {
    use super::*;

    const OPENED: &str = r#"{"auditID":"1","stage":"ResponseStarted","requestURI":"/api/v1/pods?watch=1","verb":"watch","user":{"username":"admin"},"objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"code":200}}"#;
    const ENDED: &str = r#"{"auditID":"1","stage":"ResponseComplete","requestURI":"/api/v1/pods?watch=1","verb":"watch","user":{"username":"admin"},"objectRef":{"resource":"pods","apiVersion":"v1"},"responseStatus":{"code":200}}"#;
    const WRITE: &str = r#"{"auditID":"2","stage":"ResponseComplete","requestURI":"/x","verb":"patch","user":{"username":"admin"},"impersonatedUser":{"username":"bob"},"objectRef":{"resource":"pods","namespace":"n","name":"a","subresource":"status"},"responseStatus":{"code":403}}"#;

    #[test]
    fn a_watch_is_one_request_from_its_opening_to_its_end() {
        let requests = parse(&format!("{OPENED}\n{ENDED}\n"));
        assert_eq!(requests.len(), 1);
        assert!(!requests[0].is_write());
    }

    #[test]
    fn a_request_is_that_of_whom_it_was_made_for() {
        let requests = parse(&format!("{WRITE}\n"));
        let [request] = requests.as_slice() else {
            panic!("{requests:?}");
        };
        assert_eq!((request.user.as_str(), request.code), ("bob", 403));
        assert_eq!(request.resource, "pods/status");
        assert!(request.is_write());
    }

    #[test]
    fn a_line_that_is_still_being_written_is_left_out() {
        assert_eq!(parse(&format!("{OPENED}\n{WRITE}")).len(), 1);
        assert_eq!(parse(WRITE), []);
    }
}
