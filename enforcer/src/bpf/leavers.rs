//! Processes that have left their container's cgroup. The kernel keeps the list.

use aya::maps::{HashMap, MapData, MapError as AyaError};
use bartizan_abi::maps::GONE;

use super::error::{MapError, failed};
use super::values::KernelProcess;

/// `BPF_EXIST`
const EXISTING: u64 = 2;

pub(super) struct Leavers(HashMap<MapData, KernelProcess, u32>);

impl Leavers {
    pub(super) fn new(map: HashMap<MapData, KernelProcess, u32>) -> Self {
        Self(map)
    }

    /// Those of a workload that ends are denied everything from now on: its number will be
    /// another's.
    pub(super) fn outlive(&mut self, workload: u32) -> Result<(), MapError> {
        let read = failed("reading which processes have left their container");
        let all: Vec<_> = self.0.iter().collect::<Result<_, _>>().map_err(&read)?;
        for (process, _) in all.into_iter().filter(|(_, of)| *of == workload) {
            match self.0.insert(process, GONE, EXISTING) {
                // It has ended.
                Err(AyaError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
                result => result.map_err(failed("marking a process that has left"))?,
            }
        }
        Ok(())
    }
}
