//! How many policies stand where, for metrics: an alert needs a number, and conditions are
//! words.

use bartizan_crds::PolicyStatus;

use super::{ACCEPTED, Cluster, ENFORCED};

/// Where a policy stands, by its object's status. Each is in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in the kernel for every container that it selects.
    Enforced,
    /// It isn't for some, or in an older generation.
    Behind,
    /// It selects no container.
    SelectsNothing,
    /// Its present generation is not accepted.
    Refused,
    /// Its present generation has not been judged yet.
    Unjudged,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Enforced,
        Self::Behind,
        Self::SelectsNothing,
        Self::Refused,
        Self::Unjudged,
    ];

    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforced => "Enforced",
            Self::Behind => "Behind",
            Self::SelectsNothing => "SelectsNothing",
            Self::Refused => "Refused",
            Self::Unjudged => "Unjudged",
        }
    }

    fn of(generation: i64, status: Option<&PolicyStatus>) -> Self {
        let judged = status.filter(|status| status.observed_generation == Some(generation));
        let Some(status) = judged else {
            return Self::Unjudged;
        };
        let find = |type_: &str| {
            let mut conditions = status.conditions.iter();
            let found = conditions.find(|condition| condition.type_ == type_)?;
            Some((found.status.as_str(), found.reason.as_str()))
        };
        match (find(ACCEPTED), find(ENFORCED)) {
            (Some(("False", _)), _) => Self::Refused,
            (_, Some(("True", _))) => Self::Enforced,
            (_, Some((_, "SelectsNothing"))) => Self::SelectsNothing,
            (_, Some(_)) => Self::Behind,
            (_, None) => Self::Unjudged,
        }
    }
}

impl Cluster {
    /// How many policies of both kinds stand where, in the order of [`Standing::ALL`].
    pub fn standings(&self) -> [(Standing, usize); 5] {
        let mut standings = Standing::ALL.map(|standing| (standing, 0));
        for record in self.policies.values() {
            let own = Standing::of(record.generation, record.status.as_ref());
            for (standing, count) in &mut standings {
                *count += usize::from(*standing == own);
            }
        }
        standings
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    #[track_caller]
    fn check(conditions: &[(&str, &str, &str)], expected: Standing) {
        let conditions = conditions.iter().map(|(type_, status, reason)| Condition {
            type_: (*type_).to_owned(),
            status: (*status).to_owned(),
            reason: (*reason).to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        });
        let status = PolicyStatus {
            observed_generation: Some(2),
            conditions: conditions.collect(),
            ..PolicyStatus::default()
        };
        assert_eq!(Standing::of(2, Some(&status)), expected);
        assert_eq!(Standing::of(3, Some(&status)), Standing::Unjudged);
    }

    #[test]
    fn a_policy_stands_where_its_status_says() {
        let accepted = (ACCEPTED, "True", "Valid");
        let refused = (ACCEPTED, "False", "InvalidPolicy");
        let armed = (ENFORCED, "True", "Armed");
        check(&[accepted, armed], Standing::Enforced);
        check(&[accepted, (ENFORCED, "False", "Behind")], Standing::Behind);
        let nothing = (ENFORCED, "False", "SelectsNothing");
        check(&[accepted, nothing], Standing::SelectsNothing);
        let older = (ENFORCED, "False", "OlderGeneration");
        check(&[refused, older], Standing::Refused);
        check(&[], Standing::Unjudged);
        assert_eq!(Standing::of(1, None), Standing::Unjudged);
    }
}
