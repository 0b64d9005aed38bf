//! What the node agent asks of the engine.

use std::rc::Rc;
use std::time::Instant;

use bartizan_policy::rule_map::RuleMap;

use crate::engine::{Engine, EngineError, Found, How, Identity, Maps, WorkloadId};
use crate::kubepods::{ContainerId, PodUid};
use crate::mounts::MountTable;

/// The engine as the node agent uses it; [`Engine`] has the descriptions.
pub trait Enforce {
    /// [`Engine::add_rules`]
    fn add_rules(&mut self, of: Identity, rules: &Rc<RuleMap>) -> Result<WorkloadId, EngineError>;
    /// [`Engine::replace_rules`]
    fn replace_rules(&mut self, changes: &[(WorkloadId, Rc<RuleMap>)]) -> Result<(), EngineError>;
    /// [`Engine::remove`]
    fn remove(&mut self, id: WorkloadId) -> Result<(), EngineError>;
    /// [`Engine::expect_pod`]
    fn expect_pod(&mut self, uid: PodUid, id: WorkloadId) -> Result<(), EngineError>;
    /// [`Engine::expect_container`]
    fn expect_container(
        &mut self,
        of: ContainerId,
        id: WorkloadId,
        how: How,
    ) -> Result<(), EngineError>;
    /// [`Engine::forget_container`]
    fn forget_container(&mut self, container: ContainerId) -> Result<(), EngineError>;
    /// [`Engine::set_mounts`]
    fn set_mounts(&mut self, id: WorkloadId, mounts: MountTable) -> Result<(), EngineError>;
    /// [`Engine::containers`]
    fn containers(&self) -> Result<Vec<Found>, EngineError>;
}

impl<M: Maps> Enforce for Engine<M> {
    fn add_rules(&mut self, of: Identity, rules: &Rc<RuleMap>) -> Result<WorkloadId, EngineError> {
        Self::add_rules(self, of, rules, Instant::now())
    }

    fn replace_rules(&mut self, changes: &[(WorkloadId, Rc<RuleMap>)]) -> Result<(), EngineError> {
        Self::replace_rules(self, changes, Instant::now()).map(|_| ())
    }

    fn remove(&mut self, id: WorkloadId) -> Result<(), EngineError> {
        Self::remove(self, id, Instant::now())
    }

    fn expect_pod(&mut self, uid: PodUid, id: WorkloadId) -> Result<(), EngineError> {
        Self::expect_pod(self, uid, id)
    }

    fn expect_container(
        &mut self,
        of: ContainerId,
        id: WorkloadId,
        how: How,
    ) -> Result<(), EngineError> {
        Self::expect_container(self, of, id, how)
    }

    fn forget_container(&mut self, container: ContainerId) -> Result<(), EngineError> {
        Self::forget_container(self, container)
    }

    fn set_mounts(&mut self, id: WorkloadId, mounts: MountTable) -> Result<(), EngineError> {
        Self::set_mounts(self, id, mounts)
    }

    fn containers(&self) -> Result<Vec<Found>, EngineError> {
        Self::containers(self)
    }
}
