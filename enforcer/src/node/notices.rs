//! Events on pods: the first time that a rule denies something there.
//!
//! Denials are in the log and counted in the kernel; events are for whoever looks at the
//! pod. So there are few: one for each rule and pod within [`QUIET`], and at most [`BURST`]
//! a minute for the whole node.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bartizan_abi::verdict::Outcome;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::keys::PodKey;
use crate::report::Record;

/// How long a rule is not named again for the same pod.
const QUIET: Duration = Duration::from_hours(1);
/// Events of a node in a [`WINDOW`].
const BURST: usize = 30;
const WINDOW: Duration = Duration::from_mins(1);
/// Pairs of pods and rules that are remembered.
const MEMORY: usize = 4_096;

/// Something that a pod should have an event of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The pod.
    pub pod: PodKey,
    reason: &'static str,
    operation: &'static str,
    note: String,
}

/// Which notices were given, and when.
#[derive(Debug, Default)]
pub struct Notices {
    given: BTreeMap<(PodKey, String, String), Instant>,
    window: Option<(Instant, usize)>,
}

impl Notices {
    /// The notice that a denial deserves, if it does.
    pub fn of(&mut self, record: &Record, now: Instant) -> Option<Notice> {
        let (reason, verb) = match record.outcome {
            Outcome::Deny => ("PolicyDenied", "denied"),
            Outcome::WouldDeny => ("PolicyWouldDeny", "would deny"),
            _ => return None,
        };
        let pod = PodKey {
            namespace: record.subject.namespace.clone()?,
            name: record.subject.pod.clone()?,
        };
        let policy = record.policy.as_ref()?.reference();
        let rule = record.rule.clone()?;
        let place = (pod.clone(), policy.clone(), rule.clone());
        self.given.retain(|_, at| now < *at + QUIET);
        if self.given.contains_key(&place) || self.given.len() >= MEMORY {
            return None;
        }
        let (start, count) = self
            .window
            .filter(|(start, _)| now < *start + WINDOW)
            .unwrap_or((now, 0));
        if count >= BURST {
            return None;
        }
        self.window = Some((start, count + 1));
        self.given.insert(place, now);
        let operation = record.operation.name();
        let of = |text: &Option<String>, before: &str| {
            let text = text.as_ref();
            text.map_or(String::new(), |text| format!(" {before} {text}"))
        };
        let note = format!(
            "policy {policy}, rule {rule}, {verb} {operation}{}{}{}",
            of(&record.target, "of"),
            of(&record.executable, "by"),
            of(&record.subject.container, "in container"),
        );
        Some(Notice {
            pod,
            reason,
            operation,
            note,
        })
    }

    /// A pod is gone.
    pub fn forget(&mut self, pod: &PodKey) {
        self.given.retain(|(of, _, _), _| of != pod);
    }
}

/// Publishes notices.
#[derive(Clone)]
pub(super) struct Publisher(Recorder);

impl Publisher {
    pub(super) fn new(client: Client, node: String) -> Self {
        // `config/deploy/enforcer-rbac.yaml` lets no other pair through.
        let reporter = Reporter {
            controller: "bartizan-enforcer".to_owned(),
            instance: Some(node),
        };
        Self(Recorder::new(client, reporter))
    }

    /// Leaves an event on the pod with that UID. One that is lost is logged.
    pub(super) async fn publish(self, notice: Notice, uid: String) {
        let pod = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(notice.pod.namespace),
            name: Some(notice.pod.name),
            uid: Some(uid),
            ..ObjectReference::default()
        };
        let mut note = notice.note;
        // The API server takes 1,024 bytes.
        note.truncate(note.floor_char_boundary(1_000));
        let event = Event {
            type_: EventType::Warning,
            reason: notice.reason.to_owned(),
            note: Some(note),
            action: notice.operation.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, &pod).await {
            tracing::warn!(%error, "an event was not published");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::record;

    fn denial(pod: &str, rule: &str) -> Record {
        let mut record = record("/usr/bin/apt");
        record.subject.namespace = Some("shop".into());
        record.subject.pod = Some(pod.into());
        record.subject.container = Some("web".into());
        record.rule = Some(rule.into());
        record
    }

    #[test]
    fn the_first_denial_of_a_rule_in_a_pod_is_noticed_and_then_none_for_a_while() {
        let (mut notices, now) = (Notices::default(), Instant::now());
        let notice = notices.of(&denial("web-1", "no-apt"), now).unwrap();
        assert_eq!(
            notice.note,
            "policy shop/lockdown, rule no-apt, denied Exec of /usr/bin/apt by /bin/sh in \
             container web"
        );
        assert_eq!(notices.of(&denial("web-1", "no-apt"), now), None);
        assert!(notices.of(&denial("web-1", "other"), now).is_some());
        assert!(notices.of(&denial("web-2", "no-apt"), now).is_some());
        assert!(
            notices
                .of(&denial("web-1", "no-apt"), now + QUIET)
                .is_some()
        );
        notices.forget(&notice.pod);
        assert!(
            notices
                .of(&denial("web-1", "no-apt"), now + QUIET)
                .is_some()
        );
    }

    #[test]
    fn a_storm_of_different_denials_gives_few_events() {
        let (mut notices, now) = (Notices::default(), Instant::now());
        let given = (0..1_000)
            .filter(|n| {
                notices
                    .of(&denial("web", &format!("rule-{n}")), now)
                    .is_some()
            })
            .count();
        assert_eq!(given, BURST);
        let later = now + WINDOW;
        assert!(notices.of(&denial("web", "rule-999"), later).is_some());
    }

    #[test]
    fn what_is_no_denial_of_a_rule_is_not_noticed() {
        let mut notices = Notices::default();
        let mut audited = denial("web", "a");
        audited.outcome = Outcome::Audit;
        assert_eq!(notices.of(&audited, Instant::now()), None);
        let mut nameless = denial("web", "a");
        nameless.rule = None;
        assert_eq!(notices.of(&nameless, Instant::now()), None);
    }
}
