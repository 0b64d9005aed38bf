//! The measurements.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bartizan_api_tests::deployment::OPERATOR;
use bartizan_api_tests::{Cluster, Operator, within};
use bartizan_crds::PodEnforcement;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};

use crate::figures::{Figure, percentile};
use crate::fleet::{self, REPLICAS, Size};
use crate::published::Published;

const EDITS: u32 = 200;
const NEW_PODS: u32 = 200;
/// Until the operator counts as never done.
const PATIENCE: Duration = Duration::from_mins(5);
/// What a new pod's way to its published rules may take.
const GOAL_MS: f64 = 50.0;

/// Makes the cluster, starts the operator and measures.
pub(crate) async fn measure(
    cluster: &Cluster,
    size: Size,
    progress: impl Fn(String),
) -> Result<Vec<Figure>> {
    let client = cluster.client();
    Operator::install(cluster).await?;
    progress(format!("making {} pods on {} nodes", size.pods, size.nodes));
    size.create(&client).await?;

    progress("starting the operator".to_owned());
    let mut published = Published::watch(client.clone());
    let started = Instant::now();
    let operator = Operator::launch(cluster, 0, &[]).await?;
    let all = size.pods as usize;
    let first = published.until(|now| now.len() == all).await? - started;
    settled(cluster, &operator, size).await?;
    let memory = resident_mib(&operator)?;
    let before = calls(cluster).await?;
    let pages = operator.page("/metrics").await?;

    progress(format!("editing {EDITS} policies, one after the other"));
    let edits = edits(&client, size, &mut published).await?;
    settled(cluster, &operator, size).await?;
    let during_edits = calls(cluster).await? - before;
    let own = Histogram::between(&pages, &operator.page("/metrics").await?)?;

    progress(format!("creating {NEW_PODS} pods, one after the other"));
    let comers = comers(&client, size, &mut published).await?;
    let bytes = bytes_per_pod(&client).await?;

    progress(format!(
        "doing {NEW_PODS} times what a new pod takes without the operator"
    ));
    operator.process.stop()?;
    let alone = alone(&client, size, &mut published).await?;

    let edit = |percent| percentile(&edits, percent);
    let comer = |percent| percentile(&comers, percent);
    let selected = f64::from(REPLICAS);
    let place = format!("edit of a policy to all {REPLICAS} pods published");
    Ok(vec![
        Figure::time(format!("start to all {all} pods published"), first, None),
        Figure::time(format!("{place}, median"), edit(50), None),
        Figure::time(format!("{place}, p99"), edit(99), None),
        Figure::new("of it: the operator, mean", own.mean_ms(), "ms", None),
        Figure::new(
            "of it: the operator, p99 (upper end of its bucket)",
            own.percentile_ms(0.99),
            "ms",
            None,
        ),
        Figure::time("a new pod to published, median", comer(50), None),
        Figure::time("a new pod to published, p99", comer(99), Some(GOAL_MS)),
        Figure::time(
            "its two writes and the event without the operator, median",
            percentile(&alone, 50),
            None,
        ),
        Figure::time(
            "its two writes and the event without the operator, p99",
            percentile(&alone, 99),
            None,
        ),
        Figure::new(
            "writes of the operator for an edit",
            during_edits as f64 / f64::from(EDITS),
            "",
            None,
        ),
        Figure::new(
            "of it, for each selected pod",
            during_edits as f64 / f64::from(EDITS) / selected,
            "",
            None,
        ),
        Figure::new("stored per pod: its PodEnforcement", bytes, "bytes", None),
        Figure::new("resident memory", memory, "MiB", Some(1024.0)),
    ])
}

/// Edits policies one after the other; sorted times from the request to the last event.
async fn edits(client: &Client, size: Size, published: &mut Published) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 0..EDITS {
        let place = number % size.applications();
        let application = fleet::application(place);
        let pods = (0..REPLICAS).map(|replica| place * REPLICAS + replica);
        let pods = pods.filter(|number| *number < size.pods).map(|number| {
            let (application, name) = fleet::pod(number);
            format!("{}/{name}", application.namespace)
        });
        published.catch_up();
        let before: Vec<(String, Option<String>)> = pods
            .map(|pod| {
                let rule_map = published.rule_map(&pod).map(str::to_owned);
                (pod, rule_map)
            })
            .collect();
        let started = Instant::now();
        fleet::edit(client, &application, number + 1).await?;
        let changed = |now: &Published| {
            let mut pods = before.iter();
            pods.all(|(pod, before)| now.rule_map(pod) != before.as_deref())
        };
        times.push(published.until(changed).await? - started);
    }
    times.sort();
    Ok(times)
}

/// Creates pods one after the other; sorted times from the request to the event.
async fn comers(client: &Client, size: Size, published: &mut Published) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 0..NEW_PODS {
        let application = fleet::application(number % size.applications());
        let name = format!("comer-{number}");
        let pod = format!("{}/{name}", application.namespace);
        published.catch_up();
        let started = Instant::now();
        fleet::add_pod(client, &application, &name).await?;
        let there = |now: &Published| now.rule_map(&pod).is_some();
        times.push(published.until(there).await? - started);
    }
    times.sort();
    Ok(times)
}

/// What a new pod costs the API server, whoever writes: it is created, its `PodEnforcement`
/// is applied, and the event of that is seen. Only the event of the pod is missing, by which
/// the operator hears of it. Sorted times.
async fn alone(client: &Client, size: Size, published: &mut Published) -> Result<Vec<Duration>> {
    let by = PatchParams::apply("fleet").force();
    let mut times = Vec::new();
    for number in 0..NEW_PODS {
        let application = fleet::application(number % size.applications());
        let enforcements =
            Api::<PodEnforcement>::namespaced(client.clone(), &application.namespace);
        let like = enforcements.get(&format!("comer-{number}")).await?;
        let name = format!("alone-{number}");
        let object = PodEnforcement::new(&name, like.spec);
        let pod = format!("{}/{name}", application.namespace);
        published.catch_up();
        let started = Instant::now();
        fleet::add_pod(client, &application, &name).await?;
        enforcements
            .patch(&name, &by, &Patch::Apply(object))
            .await?;
        let there = |now: &Published| now.rule_map(&pod).is_some();
        times.push(published.until(there).await? - started);
    }
    times.sort();
    Ok(times)
}

/// Waits until the operator has nothing to do: every policy is enforced, as it says.
async fn settled(cluster: &Cluster, operator: &Operator, size: Size) -> Result<()> {
    within(PATIENCE, "every policy is enforced", async || {
        operator.process.check()?;
        let columns = "-o=jsonpath={range .items[*]}{.status.enforced}{\"\\n\"}{end}";
        let get = ["get", "securitypolicies", "--all-namespaces", columns];
        let said = cluster.admin().kubectl(get).await?;
        let all = format!("{REPLICAS}/{REPLICAS}");
        let whole = said.lines().filter(|line| *line == all).count();
        // The last application can have fewer pods.
        Ok((whole + 1 >= size.applications() as usize).then_some(()))
    })
    .await
}

/// How often the operator has written, leases aside.
async fn calls(cluster: &Cluster) -> Result<usize> {
    let requests = cluster.requests().await?.into_iter();
    let own = requests.filter(|one| one.user == OPERATOR && one.is_write());
    Ok(own.filter(|one| one.resource != "leases").count())
}

async fn bytes_per_pod(client: &Client) -> Result<f64> {
    let request = http::Request::get("/apis/bartizan.dev/v1alpha1/podenforcements");
    let list = client.request_text(request.body(Vec::new())?).await?;
    let items: serde_json::Value = serde_json::from_str(&list)?;
    let number = items["items"].as_array().map_or(0, Vec::len);
    Ok(list.len() as f64 / number.max(1) as f64)
}

fn resident_mib(operator: &Operator) -> Result<f64> {
    let process = operator.process.id().context("the operator doesn't run")?;
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("no resident memory")?
        .parse()?;
    Ok(kib / 1024.0)
}

/// The operator's own measure of how long policies take to be published.
struct Histogram {
    /// Upper ends in seconds, and how many are not above.
    buckets: Vec<(f64, f64)>,
    sum: f64,
}

impl Histogram {
    /// What came between two pages of metrics.
    fn between(before: &str, after: &str) -> Result<Self> {
        let (before, after) = (Self::read(before)?, Self::read(after)?);
        let buckets = before.buckets.iter().zip(&after.buckets);
        Ok(Self {
            buckets: buckets.map(|(old, new)| (new.0, new.1 - old.1)).collect(),
            sum: after.sum - before.sum,
        })
    }

    fn read(page: &str) -> Result<Self> {
        const NAME: &str = "bartizan_operator_policy_published_seconds";
        let mut histogram = Self {
            buckets: Vec::new(),
            sum: 0.0,
        };
        for line in page.lines() {
            let Some((series, value)) = line
                .strip_prefix(NAME)
                .and_then(|rest| rest.split_once(' '))
            else {
                continue;
            };
            if series == "_sum" {
                histogram.sum = value.parse()?;
            }
            let end = series.strip_prefix("_bucket{le=\"");
            if let Some(end) = end.and_then(|end| end.strip_suffix("\"}")) {
                let end = end.parse().unwrap_or(f64::INFINITY);
                histogram.buckets.push((end, value.parse()?));
            }
        }
        Ok(histogram)
    }

    fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    fn mean_ms(&self) -> f64 {
        self.sum / self.count().max(1.0) * 1e3
    }

    /// The upper end of the bucket that a share of all is in.
    fn percentile_ms(&self, share: f64) -> f64 {
        let mut ends = self.buckets.iter();
        let found = ends.find(|(_, count)| *count >= share * self.count());
        found.map_or(0.0, |(end, _)| end * 1e3)
    }
}
