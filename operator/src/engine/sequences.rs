//! Whatever happens, in whatever order it is told: in the end everything is as planned
//! from nothing with the objects that are there.
//!
//! The engine runs as it is, with watches that are late, repeat themselves or start again,
//! and an API server that fails, in virtual time. `PROPTEST_CASES` sets how many sequences
//! are tried; a failure prints the shortest sequence that fails and the seed to repeat it.

mod world;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Engine, Inputs, Settings};
use crate::cluster::{Change, Cluster, Container, Pod, PodKey, PolicyKey};
use crate::metrics::Metrics;
use crate::watch::{Kind, Update};
use crate::write::Writer;
use world::{Fault, World};

/// Longer than every grace, retry and request together.
const SETTLING: Duration = Duration::from_secs(45);

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    Namespace(usize, Option<bool>),
    /// A pod comes, or its labels or phase change.
    Pod {
        pod: usize,
        web: bool,
        containers: usize,
        bound: bool,
        ended: bool,
    },
    PodGone(usize),
    Policy(usize, usize),
    PolicyGone(usize),
    /// An enforcer reports.
    Report(usize),
    /// Somebody else writes over what the operator wrote.
    Overwrite(usize),
    EnforcementGone(usize),
    RuleMapGone(usize),
    GarbageCollector,
    Deliver(usize, usize),
    Repeat(usize),
    List(usize),
    Wait(u64),
    Fail(Fault),
    Lead(bool),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let pod = (
        0..6usize,
        any::<bool>(),
        1..3usize,
        any::<bool>(),
        prop::bool::weighted(0.1),
    );
    let fault = prop_oneof![
        Just(Fault::Refuse(409)),
        Just(Fault::Refuse(500)),
        Just(Fault::LoseAnswer),
    ];
    prop_oneof![
        2 => (0..2usize, prop::option::weighted(0.8, any::<bool>()))
            .prop_map(|(namespace, stage)| Step::Namespace(namespace, stage)),
        8 => pod.prop_map(|(pod, web, containers, bound, ended)| Step::Pod {
            pod, web, containers, bound, ended,
        }),
        3 => (0..6usize).prop_map(Step::PodGone),
        6 => (0..5usize, 0..SPECS).prop_map(|(policy, spec)| Step::Policy(policy, spec)),
        2 => (0..5usize).prop_map(Step::PolicyGone),
        3 => (0..6usize).prop_map(Step::Report),
        1 => (0..6usize).prop_map(Step::Overwrite),
        1 => (0..6usize).prop_map(Step::EnforcementGone),
        1 => (0..4usize).prop_map(Step::RuleMapGone),
        1 => Just(Step::GarbageCollector),
        12 => (0..Kind::ALL.len(), 1..4usize).prop_map(|(kind, most)| Step::Deliver(kind, most)),
        2 => (0..Kind::ALL.len()).prop_map(Step::Repeat),
        2 => (0..Kind::ALL.len()).prop_map(Step::List),
        8 => prop_oneof![0..60u64, 0..1500u64].prop_map(Step::Wait),
        2 => fault.prop_map(Step::Fail),
        1 => any::<bool>().prop_map(Step::Lead),
        1 => Just(Step::Restart),
    ]
}

/// What policies say; the last one means nothing.
const SPECS: usize = 6;

fn spec(number: usize, cluster: bool) -> Json {
    let web = json!({ "matchLabels": { "app": "web" } });
    let deny = |path: &str| json!({ "deny": [{ "paths": [path] }] });
    let mut spec = match number {
        0 => json!({ "selector": web, "mode": "Enforce", "process": deny("/a") }),
        1 => json!({ "selector": {}, "mode": "Enforce", "process": deny("/a") }),
        2 => json!({ "selector": {}, "files": deny("/b/**") }),
        3 => json!({ "selector": web, "containers": ["c0"], "process": deny("/c") }),
        4 => {
            json!({ "selector": {}, "containers": ["c1"], "mode": "Enforce", "files": deny("/d") })
        }
        _ => json!({ "selector": {}, "process": deny("no path") }),
    };
    if cluster {
        spec["namespaceSelector"] = json!({ "matchLabels": { "stage": "production" } });
    }
    spec
}

const NAMESPACES: [&str; 2] = ["shop", "bank"];

/// The same names in both namespaces.
fn pod_key(number: usize) -> PodKey {
    PodKey::new(NAMESPACES[number % 2], format!("pod-{}", number / 2))
}

fn policy_key(number: usize) -> PolicyKey {
    match number {
        0 => PolicyKey::cluster("all"),
        number => PolicyKey::namespaced(NAMESPACES[number % 2], format!("policy-{}", number / 2)),
    }
}

/// The world and the operator in it.
struct Stage {
    world: Arc<Mutex<World>>,
    operator: Replica,
}

/// The engine of one process.
struct Replica {
    updates: mpsc::Sender<Update>,
    leading: watch::Sender<bool>,
    /// Dropped without a word: the process is killed.
    task: JoinHandle<()>,
    _stop: watch::Sender<bool>,
    _questions: mpsc::Sender<super::Question>,
}

impl Replica {
    fn start(world: &Arc<Mutex<World>>) -> Self {
        let world = Arc::clone(world);
        let service = tower::service_fn(move |request: Request<Body>| {
            let world = Arc::clone(&world);
            async move { serve(&world, request).await }
        });
        let client = Client::new(service, "default");
        let metrics = Metrics::default();
        let writer = Writer::new(client, "replica".to_owned(), metrics.clone());
        let settings = Settings {
            concurrency: 4,
            rule_map_grace: Duration::from_secs(5),
            ..Settings::default()
        };
        let (updates, inputs) = mpsc::channel(4096);
        let (questions, asked) = mpsc::channel(1);
        let (leading, leads) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let engine = Engine::new(writer, metrics, settings);
        let task = tokio::spawn(engine.run(Inputs {
            updates: inputs,
            questions: asked,
            leading: leads,
            stop: stopped,
        }));
        leading.send_replace(true);
        Self {
            updates,
            leading,
            task,
            _stop: stop,
            _questions: questions,
        }
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    // A panic in it fails the test anyway.
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(world: &Mutex<World>, request: Request<Body>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    let request = Request::from_parts(head, body.to_bytes().to_vec());
    let delay = lock(world).delay();
    sleep(delay).await;
    let answer = lock(world).answer(&request);
    let delay = lock(world).delay();
    sleep(delay).await;
    answer
}

impl Stage {
    async fn send(&self, updates: Vec<Update>) {
        for update in updates {
            self.operator
                .updates
                .send(update)
                .await
                .expect("the engine runs");
        }
    }

    async fn list(&self) {
        for kind in Kind::ALL {
            let updates = lock(&self.world).list(kind);
            self.send(updates).await;
        }
    }

    /// A process that is killed, and another.
    async fn restart(&mut self) {
        self.operator.task.abort();
        lock(&self.world).forget();
        self.operator = Replica::start(&self.world);
        self.list().await;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Wait(millis) => sleep(Duration::from_millis(millis)).await,
            Step::Deliver(kind, most) => {
                let updates = lock(&self.world).deliver(Kind::ALL[kind], most);
                self.send(updates).await;
            }
            Step::Repeat(kind) => {
                let updates = lock(&self.world).repeat(Kind::ALL[kind]);
                self.send(updates).await;
            }
            Step::List(kind) => {
                let updates = lock(&self.world).list(Kind::ALL[kind]);
                self.send(updates).await;
            }
            Step::Lead(leads) => {
                self.operator.leading.send_replace(leads);
            }
            Step::Restart => self.restart().await,
            step => happen(&mut lock(&self.world), step),
        }
    }

    /// Everything that was held back happens, until nothing does any more.
    async fn settle(&self) {
        self.operator.leading.send_replace(true);
        for _ in 0..3 {
            for kind in Kind::ALL {
                let updates = lock(&self.world).deliver(kind, usize::MAX);
                self.send(updates).await;
            }
            let until = tokio::time::Instant::now() + SETTLING;
            while tokio::time::Instant::now() < until {
                sleep(Duration::from_secs(1)).await;
                for kind in Kind::ALL {
                    let updates = lock(&self.world).deliver(kind, usize::MAX);
                    self.send(updates).await;
                }
            }
            let mut world = lock(&self.world);
            world.collect_garbage();
            for pod in 0..6 {
                world.report(&pod_key(pod));
            }
        }
    }
}

/// What happens to the objects.
fn happen(world: &mut World, step: Step) {
    match step {
        Step::Namespace(namespace, None) => world.delete_namespace(NAMESPACES[namespace]),
        Step::Namespace(namespace, Some(production)) => {
            let stage = if production { "production" } else { "test" };
            let labels = [("stage".to_owned(), stage.to_owned())];
            let name = NAMESPACES[namespace].to_owned();
            world.namespaces.insert(name.clone(), labels.clone().into());
            world.happened(Change::Namespace(name, Some(labels.into())));
        }
        Step::Pod {
            pod,
            web,
            containers,
            bound,
            ended,
        } => {
            let key = pod_key(pod);
            if !world.namespaces.contains_key(&key.namespace) {
                return;
            }
            let number = world.next();
            let mut pod = world.pods.get(&key).cloned().unwrap_or_else(|| Pod {
                uid: format!("pod-{number}"),
                cgroup_uid: format!("pod-{number}"),
                containers: (0..containers).map(container).collect(),
                ..Pod::default()
            });
            let app = if web { "web" } else { "db" };
            pod.labels = [("app".to_owned(), app.to_owned())].into();
            if bound {
                pod.node.get_or_insert_with(|| "node-a".to_owned());
            }
            pod.ended |= ended;
            world.put_pod(&key, pod);
        }
        Step::PodGone(pod) => world.delete(Change::Pod(pod_key(pod), None)),
        Step::Policy(policy, number) => {
            let key = policy_key(policy);
            let namespace = key.namespace.as_ref();
            if namespace.is_none_or(|name| world.namespaces.contains_key(name)) {
                world.put_policy(&key, &spec(number, policy == 0));
            }
        }
        Step::PolicyGone(policy) => world.delete(Change::Policy(policy_key(policy), None)),
        Step::Report(pod) => world.report(&pod_key(pod)),
        Step::Overwrite(pod) => {
            let key = pod_key(pod);
            if let Some(mut object) = world.enforcements.get(&key).cloned() {
                for container in &mut object.spec.containers {
                    container.rule_map = Some("another".to_owned());
                }
                world.put_enforcement(&key, object);
            }
        }
        Step::EnforcementGone(pod) => world.delete(Change::Enforcement(pod_key(pod), None)),
        Step::RuleMapGone(number) => {
            let name = world.rule_maps.keys().nth(number).cloned();
            if let Some(name) = name {
                world.delete(Change::RuleMap(name, None));
            }
        }
        Step::GarbageCollector => world.collect_garbage(),
        Step::Fail(fault) => world.faults.push_back(fault),
        other => unreachable!("{other:?} happens to the operator"),
    }
}

fn container(number: usize) -> Container {
    Container {
        name: format!("c{number}"),
        kind: bartizan_crds::ContainerKind::Regular,
        image: None,
        programs: Vec::new(),
    }
}

/// A cluster that was told of the objects that there are, and of nothing before.
fn from_scratch(world: &World) -> Cluster {
    let mut cluster = Cluster::default();
    for (name, labels) in &world.namespaces {
        cluster.apply(Change::Namespace(name.clone(), Some(labels.clone())));
    }
    for (key, pod) in &world.pods {
        cluster.apply(Change::Pod(key.clone(), Some(pod.clone())));
    }
    for (key, policy) in &world.policies {
        cluster.apply(Change::Policy(key.clone(), Some(policy.clone())));
    }
    cluster
}

/// Checks every object that the operator has made.
fn check(world: &World) -> Result<(), TestCaseError> {
    let mut cluster = from_scratch(world);
    let mut needed = std::collections::BTreeSet::new();
    for key in world.pods.keys().chain(world.enforcements.keys()) {
        let plan = cluster.plan(key);
        let there = world.enforcements.get(key);
        prop_assert_eq!(
            there.map(|one| &one.spec),
            plan.spec.as_ref(),
            "of pod {}",
            key
        );
        if let Some(there) = there {
            let owner = &there.metadata.owner_references.iter().flatten().next();
            prop_assert_eq!(owner.map(|owner| &owner.uid), Some(&plan.owner));
        }
        for link in plan.links {
            let map = world.rule_maps.get(&*link.name).map(|map| &map.spec);
            prop_assert_eq!(map, Some(&link.spec), "for pod {}", key);
            needed.insert(link.name.to_string());
        }
    }
    let published: std::collections::BTreeSet<String> = world.rule_maps.keys().cloned().collect();
    prop_assert_eq!(published, needed, "published and needed");
    for (key, object) in &world.enforcements {
        let object = object.clone().into();
        cluster.apply(Change::Enforcement(key.clone(), Some(object)));
    }
    for (key, policy) in &world.policies {
        let Some(said) = policy.status.clone() else {
            return Err(TestCaseError::fail(format!(
                "nothing is said of policy {key}"
            )));
        };
        let now = Time(Timestamp::UNIX_EPOCH);
        let mut expected = cluster.status(key, &now).expect("it was told of");
        // Conditions keep their times, of which nothing is known from scratch.
        for (expected, said) in expected.conditions.iter_mut().zip(&said.conditions) {
            expected.last_transition_time = said.last_transition_time.clone();
        }
        prop_assert_eq!(said, expected, "of policy {}", key);
    }
    Ok(())
}

async fn play(steps: Vec<Step>, random: u64) -> Result<(), TestCaseError> {
    let world = Arc::new(Mutex::new(World::new(random)));
    let operator = Replica::start(&world);
    let mut stage = Stage { world, operator };
    for namespace in 0..NAMESPACES.len() {
        happen(
            &mut lock(&stage.world),
            Step::Namespace(namespace, Some(true)),
        );
    }
    stage.list().await;
    for step in steps {
        stage.step(step).await;
    }
    {
        // Which accepted generation a refused policy goes on with depends on which of them
        // were seen: in the end all mean something.
        let mut world = lock(&stage.world);
        world.faults.clear();
        for number in 0..5 {
            let key = policy_key(number);
            let bad = spec(SPECS - 1, number == 0);
            if world
                .policies
                .get(&key)
                .is_some_and(|policy| policy.json["spec"] == bad)
            {
                world.put_policy(&key, &spec(1, number == 0));
            }
        }
    }
    stage.settle().await;
    check(&lock(&stage.world))?;

    // Lists say nothing new, and neither does a start.
    lock(&stage.world).writes.clear();
    stage.list().await;
    stage.settle().await;
    stage.restart().await;
    stage.settle().await;
    prop_assert_eq!(&lock(&stage.world).writes, &Vec::<String>::new());
    stage.operator.task.abort();
    Ok(())
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok();
    ProptestConfig {
        cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(64),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn in_the_end_everything_is_as_planned_from_scratch(
        steps in vec(step(), 1..120),
        random in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime only needs an epoll");
        runtime.block_on(play(steps, random))?;
    }
}
