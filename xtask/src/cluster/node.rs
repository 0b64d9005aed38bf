//! A node: the files that tell it from others, and its virtual machine.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use super::addresses::{HOST, NodeNumber};
use super::folder::Folder;
use super::keys::{Keys, api_server, kubeconfig};
use super::plan::Server;
use crate::setup::{Kernel, QEMU, QUICK_PROCESSOR};
use crate::vm::Image;

const INITRAMFS: &str = include_str!("../../cluster/initramfs.sh");
const INIT: &str = include_str!("../../cluster/init.sh");
const RUN: &str = include_str!("../../cluster/run.sh");
const NODE_TARGET: &str = include_str!("../../cluster/node.target");
const NODE_PREPARE: &str = include_str!("../../cluster/node-prepare.service");
const NODE_PROGRAM: &str = include_str!("../../cluster/node@.service");
const CONTAINERD: &str = include_str!("../../cluster/containerd.toml");
const KUBELET: &str = include_str!("../../cluster/kubelet.yaml");
const BRIDGE: &str = include_str!("../../cluster/bridge.conflist");
/// Where init finds them, the files of this node are in the first file system.
const FILES: &str = "/node";
/// What the programs of a node print goes to logs of these names.
const PROGRAMS: [&str; 4] = ["shell", "containerd", "kubelet", "kube-proxy"];

/// What a node starts with, and who makes its cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Init {
    /// A shell script; kubelet and runc make the cgroups
    Script,
    /// Debian's systemd, which also makes the cgroups
    Systemd,
}

/// What all nodes of a cluster have in common.
pub(super) struct Layout {
    pub(super) kernel: Kernel,
    /// As [`crate::setup::node_disk`] gives it.
    pub(super) disk: PathBuf,
    pub(super) memory_mib: u32,
    /// How many nodes there are.
    pub(super) nodes: u8,
    pub(super) init: Init,
    /// Whether containerd offers its plugin interface.
    pub(super) nri: bool,
    /// The number of a node whose kernel has BPF-LSM switched off.
    pub(super) without_bpf: Option<u8>,
}

impl Layout {
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeNumber> {
        (1..=self.nodes).map(NodeNumber)
    }

    /// Writes a node's files; returns its virtual machine.
    pub(super) fn node(
        &self,
        folder: &Folder,
        keys: &Keys<'_>,
        node: NodeNumber,
    ) -> Result<Server> {
        keys.kubelet(node)?;
        let name = node.name();
        let archive = folder.file(&format!("{name}.cpio"));
        let file =
            File::create(&archive).with_context(|| format!("can't make {}", archive.display()))?;
        self.files(keys, node)?.write(file)?;
        Ok(Server {
            line: self.machine(folder, node, &archive)?,
            name,
        })
    }

    fn files(&self, keys: &Keys<'_>, node: NodeNumber) -> Result<Image> {
        let modules = ["virtio_pci", "virtio_blk"];
        let mut image = Image::with_init(&self.kernel, INITRAMFS, &modules)?;
        let mut text = |path: &str, mode: u32, text: &str| {
            image.text(&format!("{FILES}{path}"), mode, text);
        };
        text("/etc/node/environment", 0o644, &self.environment(node));
        match self.init {
            Init::Script => text("/usr/lib/node/init", 0o755, INIT),
            Init::Systemd => {
                text("/etc/systemd/system/node.target", 0o644, NODE_TARGET);
                text(
                    "/etc/systemd/system/node-prepare.service",
                    0o644,
                    NODE_PREPARE,
                );
                text("/etc/systemd/system/node@.service", 0o644, NODE_PROGRAM);
                // Without it, systemd takes this for a first boot.
                text("/etc/machine-id", 0o444, &format!("{:032x}\n", node.0));
            }
        }
        text("/usr/lib/node/run", 0o755, RUN);
        let without_nri = (!self.nri).to_string();
        let containerd = CONTAINERD
            .replace("@SYSTEMD@", &(self.init == Init::Systemd).to_string())
            .replace("@WITHOUT_NRI@", &without_nri);
        text("/etc/containerd/config.toml", 0o644, &containerd);
        let driver = match self.init {
            Init::Script => "cgroupfs",
            Init::Systemd => "systemd",
        };
        let kubelet = KUBELET.replace("@CGROUP_DRIVER@", driver);
        text("/etc/kubernetes/kubelet.yaml", 0o644, &kubelet);
        let bridge = BRIDGE.replace("@PODS@", &node.pods());
        text("/etc/cni/net.d/10-pods.conflist", 0o644, &bridge);
        for user in ["kubelet", "kube-proxy"] {
            let config = kubeconfig(
                &api_server(),
                "/etc/kubernetes/ca.crt",
                &format!("/etc/kubernetes/{user}.crt"),
                &format!("/etc/kubernetes/{user}.key"),
            );
            text(
                &format!("/etc/kubernetes/{user}.kubeconfig"),
                0o600,
                &config,
            );
        }
        let name = node.name();
        for (key, path) in [
            ("ca.crt", "/etc/kubernetes/ca.crt"),
            (&format!("{name}.crt"), "/etc/kubernetes/kubelet.crt"),
            (&format!("{name}.key"), "/etc/kubernetes/kubelet.key"),
            ("kube-proxy.crt", "/etc/kubernetes/kube-proxy.crt"),
            ("kube-proxy.key", "/etc/kubernetes/kube-proxy.key"),
            ("ssh.pub", "/root/.ssh/authorized_keys"),
        ] {
            image.host(&keys.path(key), &format!("{FILES}{path}"))?;
        }
        Ok(image)
    }

    fn environment(&self, node: NodeNumber) -> String {
        let others = self.nodes().filter(|other| *other != node);
        let routes: Vec<_> = others
            .map(|other| format!("{}={}", other.pods(), other.address()))
            .collect();
        format!(
            "NODE_NAME={}\nNODE_ADDRESS={}\nNODE_GATEWAY={HOST}\nNODE_ROUTES='{}'\n",
            node.name(),
            node.address(),
            routes.join(" "),
        )
    }

    fn machine(&self, folder: &Folder, node: NodeNumber, archive: &Path) -> Result<Vec<String>> {
        let name = node.name();
        let mut line = vec![QEMU.to_owned()];
        let mut add = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
        add(&["-nodefaults", "-no-user-config", "-display", "none"]);
        add(&[
            "-cpu",
            QUICK_PROCESSOR,
            "-smp",
            "2",
            "-m",
            &self.memory_mib.to_string(),
        ]);
        add(&["-accel", "tcg,thread=multi", "-device", "virtio-serial-pci"]);
        let log = |program: &str| -> Result<String> {
            let file = text(&folder.log_file(&format!("{name}.{program}")))?;
            Ok(format!("file,append=on,id={program},path={file}"))
        };
        add(&["-chardev", &log("console")?, "-serial", "chardev:console"]);
        for program in PROGRAMS {
            let port = format!("virtserialport,chardev={program},name={program}");
            add(&["-chardev", &log(program)?, "-device", &port]);
        }
        // What the node writes goes to a file that QEMU deletes.
        let disk = text(&self.disk)?;
        let drive = format!("file={disk},if=none,id=disk,format=raw,snapshot=on");
        add(&["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"]);
        let tap = node.tap();
        let netdev = format!("tap,id=net,ifname={tap},script=no,downscript=no");
        let mac = node.hardware_address();
        let device = format!("virtio-net-pci,netdev=net,mac={mac}");
        add(&["-netdev", &netdev, "-device", &device]);
        let kernel = text(&self.kernel.image())?;
        add(&["-kernel", &kernel, "-initrd", &text(archive)?, "-append"]);
        let init = match self.init {
            Init::Script => "node_init=/usr/lib/node/init",
            Init::Systemd => "node_init=/usr/lib/systemd/systemd systemd.unit=node.target",
        };
        let bpf = if self.without_bpf == Some(node.0) {
            ""
        } else {
            ",bpf"
        };
        add(&[&format!(
            "console=ttyS0 quiet panic=-1 random.trust_cpu=on no_timer_check net.ifnames=0 \
             lsm=landlock,lockdown,yama{bpf} {init}"
        )]);
        Ok(line)
    }
}

/// The commands that make the network of a cluster.
pub(super) fn network(layout: &Layout) -> Vec<Vec<String>> {
    let mut lines = vec![
        "ip link set lo up".to_owned(),
        "ip link add br0 type bridge".to_owned(),
        format!("ip address add {HOST}/24 dev br0"),
        "ip link set br0 up".to_owned(),
    ];
    for node in layout.nodes() {
        let tap = node.tap();
        lines.push(format!("ip tuntap add {tap} mode tap"));
        lines.push(format!("ip link set {tap} master br0 up"));
        lines.push(format!(
            "ip route add {} via {}",
            node.pods(),
            node.address()
        ));
    }
    let words = |line: String| line.split(' ').map(String::from).collect();
    lines.into_iter().map(words).collect()
}

/// A path on a command line.
pub(super) fn text(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .with_context(|| format!("{} is no text", path.display()))?;
    Ok(text.to_owned())
}
