//! etcd and an API server, ready to be asked.

use std::fs::File;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bartizan_crds::definitions;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Config, ResourceExt as _};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

use crate::access::Access;
use crate::address::Address;
use crate::audit::{self, Request};
use crate::component::{Component, Recipe};
use crate::flags::{self, API_PORT, ETCD_PORT, Secrets};
use crate::folder::Folder;
use crate::wait::{eventually, within};

/// Longer than it ever took, also when both processors are busy with other things.
const START: Duration = Duration::from_secs(90);

/// File of the API server's certificate.
const CERTIFICATE: &str = "api-server.crt";

/// What a cluster consists of.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Also run kube-controller-manager: deleted namespaces are emptied, what deleted
    /// objects own is removed, and namespaces get a service account.
    pub controllers: bool,
    /// More flags for the API server.
    pub api_flags: Vec<String>,
}

/// A running cluster; its processes are killed when this is dropped.
///
/// Fields are dropped in this order: clients of servers first.
pub struct Cluster {
    controllers: Option<Component>,
    api_server: Component,
    etcd: Component,
    admin: Access,
    folder: Folder,
    address: Address,
    names: AtomicU32,
}

impl Cluster {
    /// Starts the servers, and answers when `/readyz` is ok.
    pub async fn start(setup: Setup) -> Result<Self> {
        let folder = Folder::make()?;
        let started = Self::start_in(&folder, setup).await;
        let (address, etcd, api_server, admin, controllers) = match started {
            Ok(started) => started,
            Err(error) => {
                folder.keep_logs();
                let logs = folder.logs();
                return Err(error.context(format!("no cluster; its logs: {}", logs.display())));
            }
        };
        Ok(Self {
            controllers,
            api_server,
            etcd,
            admin,
            folder,
            address,
            names: AtomicU32::new(0),
        })
    }

    async fn start_in(
        folder: &Folder,
        setup: Setup,
    ) -> Result<(Address, Component, Component, Access, Option<Component>)> {
        let address = Address::claim()?;
        let ip = address.ip;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("can't make a key")?;
        // Valid at all times, also for processes whose clock is wrong.
        let certificate = CertificateParams::new([ip.to_string()])
            .and_then(|params| params.self_signed(&key))
            .context("can't make a certificate")?;
        let certificate = folder.write(CERTIFICATE, &certificate.pem())?;
        let secrets = Secrets {
            admin_token: &random()?,
            private_key: &folder.write("service-accounts.key", &key.serialize_pem())?,
            public_key: &folder.write("service-accounts.pub", &key.public_key_pem())?,
            certificate: &certificate,
        };
        let Setup {
            controllers,
            mut api_flags,
        } = setup;
        if !controllers {
            // Nobody would make the service account that this plugin wants every pod to have.
            api_flags.push("--disable-admission-plugins=ServiceAccount".to_owned());
        }
        let logs = folder.logs();
        let etcd = Component::start_in(&logs, flags::etcd(ip, folder)?)?;
        let api_server = flags::api_server(ip, folder, &secrets, &api_flags)?;
        let api_server = Component::start_in(&logs, api_server)?;
        let server = format!("https://{ip}:{API_PORT}");
        let user = json!({ "token": secrets.admin_token });
        let kubeconfig = folder.data("admin.kubeconfig");
        let admin = Access::new(&server, &certificate, &user, kubeconfig).await?;
        ready(&etcd, &api_server, &admin.client).await?;
        let controllers = if controllers {
            let private_key = secrets.private_key;
            let recipe = flags::controller_manager(ip, admin.kubeconfig(), private_key)?;
            Some(Component::start_in(&logs, recipe)?)
        } else {
            None
        };
        Ok((address, etcd, api_server, admin, controllers))
    }

    /// Access as `admin` of the group `system:masters`, who may do everything.
    pub fn admin(&self) -> &Access {
        &self.admin
    }

    /// The admin's client.
    pub fn client(&self) -> Client {
        self.admin.client.clone()
    }

    /// An address of this cluster alone, for servers that tests start. Ports 2379, 2380,
    /// 6442, 6443 and 10257 are taken.
    pub fn ip(&self) -> Ipv4Addr {
        self.address.ip
    }

    /// etcd.
    pub fn etcd(&self) -> &Component {
        &self.etcd
    }

    /// kube-apiserver.
    pub fn api_server(&self) -> &Component {
        &self.api_server
    }

    /// kube-controller-manager, if it was asked for.
    pub fn controllers(&self) -> Option<&Component> {
        self.controllers.as_ref()
    }

    /// Answers when the API server is ready (again).
    pub async fn ready(&self) -> Result<()> {
        ready(&self.etcd, &self.api_server, &self.admin.client).await
    }

    /// Starts another server, with its log beside those of the cluster.
    pub fn start_component(&self, recipe: Recipe) -> Result<Component> {
        Component::start_in(&self.folder.logs(), recipe)
    }

    /// Where a file of this cluster is, or can be.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.data(name)
    }

    /// Keeps the logs although nothing failed so far; returns their folder.
    pub(crate) fn keep_logs(&self) -> PathBuf {
        self.folder.keep_logs();
        self.folder.logs()
    }

    /// Makes a namespace that nobody else uses; returns its name, which starts with `prefix`.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let name = format!("{prefix}-{}", self.next());
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.clone());
        Api::all(self.client())
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("can't make namespace {name}"))?;
        Ok(name)
    }

    /// Installs Bartizan's kinds as `kubectl apply --server-side` does, and answers when they
    /// can be used. (kubectl itself takes a second of a processor.)
    pub async fn install_kinds(&self) -> Result<()> {
        let kinds = Api::<CustomResourceDefinition>::all(self.client());
        let as_kubectl = PatchParams::apply("kubectl").force();
        for definition in definitions() {
            let name = definition.name_any();
            kinds
                .patch(&name, &as_kubectl, &Patch::Apply(definition))
                .await
                .with_context(|| format!("can't install {name}"))?;
        }
        self.kinds_are_served().await
    }

    /// Answers when objects of all of Bartizan's kinds can be listed.
    pub(crate) async fn kinds_are_served(&self) -> Result<()> {
        for plural in definitions().map(|definition| definition.spec.names.plural) {
            eventually(&format!("{plural} are served"), async || {
                let path = http_get(&format!("/apis/bartizan.dev/v1alpha1/{plural}"))?;
                self.admin.client.request_text(path).await?;
                Ok(Some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Access of a user by name, who has the rights of that name and those groups.
    pub async fn user(&self, name: &str, groups: &[&str]) -> Result<Access> {
        let mut user = self.admin_user()?;
        user["as"] = json!(name);
        user["as-groups"] = json!(groups);
        self.access(&user).await
    }

    /// Access of a service account, with a token of its own. It has to exist.
    pub async fn service_account(&self, namespace: &str, name: &str) -> Result<Access> {
        self.token(namespace, name, None).await
    }

    /// Access of the service account of a pod, as the kubelet gives it to the pod: the
    /// token names the pod and its node.
    pub async fn pod(&self, pod: &Pod) -> Result<Access> {
        let spec = pod.spec.as_ref().context("a pod without spec")?;
        let account = spec.service_account_name.as_deref().unwrap_or("default");
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        };
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        self.token(namespace, account, Some(bound)).await
    }

    async fn token(
        &self,
        namespace: &str,
        name: &str,
        bound: Option<BoundObjectReference>,
    ) -> Result<Access> {
        let accounts = Api::<ServiceAccount>::namespaced(self.client(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: Vec::new(),
                expiration_seconds: Some(7200),
                bound_object_ref: bound,
            },
            ..TokenRequest::default()
        };
        let token = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("no token for service account {namespace}/{name}"))?;
        let token = token
            .status
            .context("a token request without an answer")?
            .token;
        self.access(&json!({ "token": token })).await
    }

    /// All requests so far that the API server has answered, oldest first, without its own.
    pub async fn requests(&self) -> Result<Vec<Request>> {
        // A request's line may come after its answer. One more request, and all before it
        // are there.
        let mark = format!("/version?mark={}", self.next());
        let request = http_get(&mark)?;
        self.admin
            .client
            .request_text(request)
            .await
            .context("can't ask for the version")?;
        let log = self.folder.data("audit.log");
        within(START, "the audit log has the last request", async || {
            let log = std::fs::read_to_string(&log).context("no audit log")?;
            let mut requests = audit::parse(&log);
            let end = requests.iter().rposition(|request| request.uri == mark);
            Ok(end.map(|end| {
                requests.truncate(end);
                requests.retain(|request| !request.uri.starts_with("/version?mark="));
                requests
            }))
        })
        .await
    }

    /// Makes etcd forget all revisions but the newest. Together with a restart of the API
    /// server, which forgets what it has cached, all watches from before are expired.
    pub async fn compact(&self) -> Result<()> {
        let url = format!("http://{}:{ETCD_PORT}", self.ip());
        let config = Config::new(url.parse().context("etcd's address is no URL")?);
        let etcd = Client::try_from(config).context("can't make a client for etcd")?;
        let status: Value = etcd
            .request(post("/v3/maintenance/status", &json!({}))?)
            .await?;
        let revision = &status["header"]["revision"];
        let body = json!({ "revision": revision, "physical": true });
        etcd.request_text(post("/v3/kv/compaction", &body)?)
            .await
            .with_context(|| format!("can't compact etcd at revision {revision}"))?;
        Ok(())
    }

    async fn access(&self, user: &Value) -> Result<Access> {
        let server = format!("https://{}:{API_PORT}", self.ip());
        let certificate = self.folder.data(CERTIFICATE);
        let kubeconfig = self
            .folder
            .data(&format!("user-{}.kubeconfig", self.next()));
        Access::new(&server, &certificate, user, kubeconfig).await
    }

    /// The admin's entry in the kubeconfig.
    fn admin_user(&self) -> Result<Value> {
        let text = std::fs::read_to_string(self.admin.kubeconfig()).context("no kubeconfig")?;
        let config: Value = serde_json::from_str(&text).context("the kubeconfig is no JSON")?;
        Ok(config["users"][0]["user"].clone())
    }

    fn next(&self) -> u32 {
        self.names.fetch_add(1, Ordering::Relaxed)
    }
}

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A secret of 128 bits.
fn random() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("no random numbers")?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

async fn ready(etcd: &Component, api_server: &Component, client: &Client) -> Result<()> {
    within(START, "the API server is ready", async || {
        // Not an error to wait out.
        if let Err(error) = etcd.check().and_then(|()| api_server.check()) {
            return Ok(Some(Err(error)));
        }
        client
            .request_text(http_get("/readyz")?)
            .await
            .context("not ready")?;
        Ok(Some(Ok(())))
    })
    .await?
}

fn http_get(uri: &str) -> Result<http::Request<Vec<u8>>> {
    http::Request::get(uri)
        .body(Vec::new())
        .context("no valid request")
}

fn post(uri: &str, body: &Value) -> Result<http::Request<Vec<u8>>> {
    http::Request::post(uri)
        .body(body.to_string().into_bytes())
        .context("no valid request")
}
