//! Policies of the shapes that `config/samples` has.

use bartizan_operator::cluster::{Change, PolicyKey, PolicyObject};
use serde_json::{Value as Json, json};

use crate::random::Random;

/// Rules for every pod of a namespace: what most policies of a cluster look like.
pub(crate) const EVERYBODY: [fn(&mut Random) -> Json; 3] = [packages, token, audit_trail];
/// Rules for the pods of one application.
pub(crate) const APPLICATION: [fn(&mut Random) -> Json; 4] = [web, egress, capabilities, worker];

/// A policy as the API server has it after `generation - 1` edits.
pub(crate) fn change(key: PolicyKey, generation: i64, spec: Json) -> Change {
    let kind = match &key.namespace {
        Some(_) => "SecurityPolicy",
        None => "ClusterSecurityPolicy",
    };
    let mut metadata = json!({ "name": key.name });
    if let Some(namespace) = &key.namespace {
        metadata["namespace"] = json!(namespace);
    }
    let mut json = json!({
        "apiVersion": "bartizan.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
    });
    json["spec"] = spec;
    let object = PolicyObject {
        uid: format!("policy-{key}"),
        version: generation.unsigned_abs(),
        generation,
        json,
        status: None,
    };
    Change::Policy(key, Some(object))
}

/// One rule that is another one after each edit, for whatever the selector selects.
pub(crate) fn edited(generation: i64) -> Json {
    json!({
        "selector": {},
        "mode": "Enforce",
        "process": { "deny": [{ "paths": [format!("/opt/tool-{generation}/**")] }] },
    })
}

fn packages(random: &mut Random) -> Json {
    let tool = random.of(&["nc", "socat", "tcpdump", "nmap"]);
    json!({
        "mode": "Enforce",
        "severity": 5,
        "process": { "deny": [
            {
                "name": "no-package-managers",
                "paths": ["/usr/bin/apt*", "/usr/bin/{dpkg,dpkg-*,rpm,yum,dnf}", "**/apk", "**/npm"],
                "exceptFrom": ["/usr/lib/apt/**"],
            },
            { "name": "no-downloaders", "paths": ["**/curl", "**/wget", format!("**/{tool}")] },
        ] },
    })
}

fn token(random: &mut Random) -> Json {
    let reader = random.of(&["controller", "agent", "sync"]);
    json!({
        "mode": "Enforce",
        "severity": 8,
        "message": "only the controller may read the service-account token",
        "files": { "deny": [{
            "name": "token-for-the-controller-only",
            "paths": ["/run/secrets/kubernetes.io/**", "/var/run/secrets/kubernetes.io/**"],
            "exceptFrom": [format!("/usr/local/bin/{reader}")],
        }] },
    })
}

fn audit_trail(_: &mut Random) -> Json {
    json!({
        "mode": "Enforce",
        "tags": ["audit", "pci"],
        "process": { "audit": [{ "name": "shells", "paths": ["**/sh", "**/{b,d}ash"] }] },
        "files": { "audit": [{
            "name": "credentials",
            "paths": ["/home/*/.ssh/**", "/root/.ssh/**", "**/*.{key,pem,p12}"],
            "operations": ["Read", "Write", "Create", "Delete"],
        }] },
        "capabilities": { "audit": [{ "capabilities": ["SYS_ADMIN", "SYS_PTRACE"] }] },
    })
}

fn web(random: &mut Random) -> Json {
    let port = 8000 + random.below(100);
    json!({
        "containers": ["app"],
        "mode": "Enforce",
        "severity": 7,
        "process": {
            "default": "Deny",
            "allow": [
                { "name": "the-server", "paths": ["/usr/sbin/nginx"] },
                { "name": "entry-point", "paths": ["/docker-entrypoint.d/**", "/usr/bin/dash"] },
                {
                    "name": "tools-of-the-entry-point",
                    "paths": ["/usr/bin/{basename,cat,cut,env,find,grep,sed}"],
                    "from": ["/usr/bin/dash"],
                },
            ],
        },
        "files": { "deny": [{
            "name": "pages-are-read-only",
            "paths": ["/usr/share/nginx/html/**"],
            "operations": ["Write", "Create", "Delete", "Rename"],
        }] },
        "network": {
            "default": "Deny",
            "allow": [
                { "operations": ["Bind"], "protocols": ["TCP"], "ports": [80, 443, port] },
                { "operations": ["Connect"], "addresses": ["10.0.0.0/8", "fd00::/8"] },
            ],
        },
    })
}

fn egress(random: &mut Random) -> Json {
    let networks: Vec<String> = (0..=random.below(20))
        .map(|_| format!("10.{}.{}.0/24", random.below(256), random.below(256)))
        .collect();
    json!({
        "mode": "Enforce",
        "severity": 6,
        "network": {
            "default": "Deny",
            "allow": [
                { "name": "dns", "addresses": ["10.96.0.10"], "ports": [53] },
                { "name": "services", "protocols": ["TCP"], "addresses": networks, "ports": ["8000-8100"] },
            ],
            "deny": [{ "name": "no-metadata-service", "addresses": ["169.254.169.254"] }],
        },
    })
}

fn capabilities(random: &mut Random) -> Json {
    let allowed = random.of(&["NET_BIND_SERVICE", "CHOWN", "SETUID"]);
    json!({
        "mode": "Enforce",
        "capabilities": {
            "default": "Deny",
            "allow": [{ "capabilities": [allowed] }],
            "deny": [{ "name": "never", "capabilities": ["SYS_ADMIN", "SYS_MODULE", "NET_RAW"] }],
        },
    })
}

/// A dry run.
fn worker(random: &mut Random) -> Json {
    let plugin = random.below(1_000);
    json!({
        "mode": "Audit",
        "process": {
            "default": "Deny",
            "allow": [{ "paths": ["/app/worker", format!("/app/plugins/{plugin}/**")] }],
        },
        "files": { "deny": [{ "paths": ["/etc/**"], "operations": ["Write", "Create", "Delete"] }] },
    })
}
