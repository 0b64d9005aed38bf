//! The object in the kernel: maps made, programs verified one by one as they are attached.

use aya::maps::Map;
use aya::programs::links::FdLink;
use aya::programs::{BtfTracePoint, FEntry, Lsm};
use aya::{Btf, Ebpf, EbpfLoader};

use super::error::LoadError;
use super::object;
use super::pins::Pins;
use super::programs::{LEAVE, TRACEPOINTS};

/// All maps of the object but its constants.
const MAPS: [&str; 20] = [
    "LABELS",
    "CGROUPS",
    "RARE",
    "LEAVERS",
    "KUBE_PARENTS",
    "POD_UIDS",
    "CTR_IDS",
    "CONTAINERS",
    "ARMED",
    "SANDBOXES",
    "BINDINGS",
    "TABLES",
    "BINDING_TEMPLATE",
    "TABLE_TEMPLATE",
    "OWNERS",
    "DIGESTS",
    "COUNTERS",
    "STATISTICS",
    "EVENTS",
    "TASKS",
];

/// The object, with this kernel's offsets in it.
pub(super) struct Object {
    ebpf: Ebpf,
    types: KernelTypes,
}

impl Object {
    /// Makes its maps. With `pins`, those that are pinned are taken as they are, and the
    /// others pinned.
    pub(super) fn load(
        pins: Option<&Pins>,
        offsets: &[(&'static str, u64)],
    ) -> Result<Self, LoadError> {
        let object = object::read()?;
        let mut loader = EbpfLoader::new();
        // Without types: the object has no relocation that needs them.
        loader.btf(None).allow_unsupported_maps();
        for (name, value) in offsets {
            loader.override_global(name, value, true);
        }
        if let Some(pins) = pins {
            for name in MAPS {
                loader.map_pin_path(name, pins.map(name));
            }
        }
        let ebpf = loader
            .load(&object)
            .map_err(|error| LoadError::Object(Box::new(error)))?;
        let is_unknown = |name: &&str| !name.starts_with('.') && !MAPS.contains(name);
        if let Some(name) = ebpf.maps().map(|(name, _)| name).find(is_unknown) {
            // Adopted without it, the others would be another enforcer's.
            return Err(LoadError::Surplus(name.to_owned()));
        }
        Ok(Self {
            ebpf,
            types: KernelTypes::default(),
        })
    }

    pub(super) fn take_map(&mut self, name: &'static str) -> Result<Map, LoadError> {
        self.ebpf.take_map(name).ok_or(LoadError::Missing(name))
    }

    /// Has a program verified, and attaches it as long as the link exists.
    pub(super) fn attach(&mut self, name: &'static str) -> Result<FdLink, LoadError> {
        let refused = |source| LoadError::Program {
            hook: name,
            source: Box::new(source),
        };
        let btf = self.types.get()?;
        let program = self.ebpf.program_mut(name);
        let program = program.ok_or(LoadError::Missing(name))?;
        if TRACEPOINTS.contains(&name) {
            let program: &mut BtfTracePoint = program.try_into().map_err(refused)?;
            program.load(name, btf).map_err(refused)?;
            let link = program.attach().map_err(refused)?;
            return Ok(program.take_link(link).map_err(refused)?.into());
        }
        if name == LEAVE.name {
            let program: &mut FEntry = program.try_into().map_err(refused)?;
            program.load(LEAVE.function, btf).map_err(refused)?;
            let link = program.attach().map_err(refused)?;
            return Ok(program.take_link(link).map_err(refused)?.into());
        }
        let program: &mut Lsm = program.try_into().map_err(refused)?;
        program.load(name, btf).map_err(refused)?;
        let link = program.attach().map_err(refused)?;
        Ok(program.take_link(link).map_err(refused)?.into())
    }

    pub(super) fn release_memory(&mut self) {
        self.types = KernelTypes::default();
    }
}

/// The kernel's types, as long as programs are attached: 10 MiB.
#[derive(Default)]
struct KernelTypes(Option<Btf>);

impl KernelTypes {
    fn get(&mut self) -> Result<&Btf, LoadError> {
        if self.0.is_none() {
            let read = Btf::from_sys_fs()
                .map_err(|error| LoadError::Object(Box::new(aya::EbpfError::BtfError(error))))?;
            self.0 = Some(read);
        }
        Ok(self.0.as_ref().expect("it has just been read"))
    }
}
