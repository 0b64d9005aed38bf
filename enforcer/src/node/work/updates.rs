//! What the API server says, taken in.

use std::time::Instant;

use super::Work;
use crate::node::api::Update;
use crate::node::rule_maps::verify;
use crate::node::statuses::Outcome;

impl Work {
    /// Takes one in, for the next turn of the loop to settle.
    pub(super) fn take(&mut self, update: Update) {
        let now = Instant::now();
        match update {
            Update::Applied(key, enforcement) => {
                self.statuses
                    .known(&key, enforcement.version, enforcement.status);
                if let Some(uid) = enforcement.uid {
                    self.objects.insert(key.clone(), uid);
                }
                self.unconfirmed.remove(&key);
                let before = self.pods.uid(&key);
                let wanted = enforcement.wanted;
                let is_news = self.pods.want(&key, Some(wanted.clone()));
                let uid = self.pods.uid(&key);
                if let Some(before) = before.filter(|before| Some(*before) != uid) {
                    self.copies.remove_pod(before);
                }
                if let Some(uid) = uid.filter(|_| is_news) {
                    self.copies.save_pod(&key, uid, &wanted);
                }
            }
            Update::Deleted(key) => {
                if let Some(uid) = self.pods.uid(&key) {
                    self.copies.remove_pod(uid);
                }
                self.pods.want(&key, None);
                self.notices.forget(&key);
                self.statuses.forget(&key);
                self.objects.remove(&key);
            }
            Update::Synced => {
                self.facts.synced = true;
                for key in std::mem::take(&mut self.unconfirmed) {
                    self.take(Update::Deleted(key));
                }
                // Those that pods count on are known by now.
                let pods = &self.pods;
                self.copies.keep_rule_maps(|name| pods.uses_rule_map(name));
            }
            Update::Failed => self.facts.count_error("watch"),
            Update::RuleMap(name, result) => {
                let result = result.and_then(|spec| {
                    let map = verify(&name, &spec)?;
                    self.copies.save_rule_map(&name, &spec);
                    Ok(map)
                });
                if let Err(error) = &result {
                    self.facts.count_error(error.reason());
                }
                self.pods.put_rule_map(&name, result, now);
            }
            Update::Written(key, result) => {
                let outcome = match &result {
                    Ok(enforcement) => {
                        let (version, status) = (enforcement.version, enforcement.status.clone());
                        self.statuses.known(&key, version, status);
                        Outcome::Taken
                    }
                    // It was deleted meanwhile: its watch will say so.
                    Err(kube::Error::Api(status)) if status.is_not_found() => Outcome::Refused,
                    Err(error) => {
                        tracing::warn!(pod = %key, %error, "a status was not written");
                        self.facts.count_error("status");
                        match error {
                            kube::Error::Api(_) => Outcome::Refused,
                            _ => Outcome::Unanswered,
                        }
                    }
                };
                self.statuses.written(&key, outcome, now);
            }
        }
    }
}
