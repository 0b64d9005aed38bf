//! The demo's story.

use super::step::Step;

/// All steps, in the order in which one shell runs them.
pub(super) const STEPS: &[Step] = &[
    Step {
        about: "A real kernel, with BPF among its security modules.",
        command: "uname -r; cat /sys/kernel/security/lsm; echo",
        status: 0,
        shows: &["cloud-amd64", "bpf"],
        denials: &[],
    },
    Step {
        about: "Something to steal: a stand-in for a cloud's metadata service.",
        command: "ip address add 169.254.169.254 dev lo; mkdir www; echo s3cret > www/token; httpd -h www",
        status: 0,
        shows: &[],
        denials: &[],
    },
    Step {
        about: "A policy. In mode Audit it reports and blocks nothing.",
        command: "cat policy.yaml",
        status: 0,
        shows: &[
            "mode: Audit",
            "no-downloaders",
            "no-password-hashes",
            "no-metadata-service",
        ],
        denials: &[],
    },
    Step {
        about: "",
        command: "bartizan check policy.yaml",
        status: 0,
        shows: &[],
        denials: &[],
    },
    Step {
        about: "A command as a container under the policy. No rule is about it: no denials.",
        command: "bartizan-enforcer run -f policy.yaml -- cat /etc/os-release",
        status: 0,
        shows: &["ID=bartizan-guest"],
        denials: &[],
    },
    Step {
        about: "The dry run: the command succeeds, and the enforcer prints as JSON what it would have denied.",
        command: "bartizan-enforcer run -f policy.yaml -- sh -c '/usr/bin/wget -qO- http://169.254.169.254/token'",
        status: 0,
        shows: &["s3cret"],
        denials: &[
            r#""policy":"shop/web-lockdown","rule":"no-downloaders","mode":"Audit","verdict":"would-deny","operation":"Exec","target":"/usr/bin/wget""#,
            r#""policy":"shop/web-lockdown","rule":"no-metadata-service","mode":"Audit","verdict":"would-deny","operation":"Connect","target":"tcp 169.254.169.254:80""#,
        ],
    },
    Step {
        about: "The same policy enforced, and the same command: EACCES.",
        command: "sed -i 's/mode: Audit .*/mode: Enforce/' policy.yaml; grep mode: policy.yaml",
        status: 0,
        shows: &["  mode: Enforce"],
        denials: &[],
    },
    Step {
        about: "",
        command: "bartizan-enforcer run -f policy.yaml -- sh -c '/usr/bin/wget -qO- http://169.254.169.254/token'",
        status: 126,
        shows: &["sh: /usr/bin/wget: Permission denied"],
        denials: &[
            r#""policy":"shop/web-lockdown","rule":"no-downloaders","mode":"Enforce","verdict":"deny","operation":"Exec","target":"/usr/bin/wget""#,
        ],
    },
    Step {
        about: "A blocked file.",
        command: "bartizan-enforcer run -f policy.yaml -- cat /etc/shadow",
        status: 1,
        shows: &["cat: can't open '/etc/shadow': Permission denied"],
        denials: &[
            r#""rule":"no-password-hashes","mode":"Enforce","verdict":"deny","operation":"Read","target":"/etc/shadow""#,
        ],
    },
    Step {
        about: "A blocked connect: EPERM.",
        command: "bartizan-enforcer run -f policy.yaml -- nc 169.254.169.254 80",
        status: 1,
        shows: &["Operation not permitted"],
        denials: &[
            r#""rule":"no-metadata-service","mode":"Enforce","verdict":"deny","operation":"Connect","target":"tcp 169.254.169.254:80""#,
        ],
    },
    Step {
        about: "All this holds for the container alone.",
        command: "cat /etc/shadow; wget -qO- http://169.254.169.254/token",
        status: 0,
        shows: &["root:*:", "s3cret"],
        denials: &[],
    },
    Step {
        about: "The same for a cgroup that exists already, as any container engine makes it.",
        command: "mkdir /sys/fs/cgroup/web",
        status: 0,
        shows: &[],
        denials: &[],
    },
    Step {
        about: "",
        command: "bartizan-enforcer standalone -f policy.yaml --workload web=/web --metrics 127.0.0.1:9464 > denials.log 2> enforcer.log &",
        status: 0,
        shows: &[],
        denials: &[],
    },
    Step {
        about: "",
        command: "for try in $(seq 100); do wget -qO- http://127.0.0.1:9464/readyz && break; usleep 100000; done",
        status: 0,
        shows: &["enforcing in 1 containers"],
        denials: &[],
    },
    Step {
        about: "",
        command: "(echo 0 > /sys/fs/cgroup/web/cgroup.procs; for i in 1 2 3; do cat /etc/shadow; done)",
        status: 1,
        shows: &[
            "Permission denied",
            "Permission denied",
            "Permission denied",
        ],
        denials: &[],
    },
    Step {
        about: "The kernel's counters. Equal denials within a second are one line with a count.",
        command: "wget -qO- http://127.0.0.1:9464/metrics | grep -E '^bartizan_(denials|armed|ring)'",
        status: 0,
        shows: &[
            r#"rule="no-password-hashes",operation="Read",mode="Enforce"} 3"#,
            "bartizan_ring_drops_total 0",
            "bartizan_armed_containers 1",
        ],
        denials: &[],
    },
    Step {
        about: "",
        command: "kill $!; wait; cat denials.log",
        status: 0,
        shows: &[r#""count":3"#],
        denials: &[
            r#""rule":"no-password-hashes","mode":"Enforce","verdict":"deny","operation":"Read","target":"/etc/shadow""#,
        ],
    },
];
