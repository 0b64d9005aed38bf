//! What is published, as a node would see it: by a watch. Enforcers answer at once.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bartizan_api_tests::arm;
use bartizan_crds::PodEnforcement;
use futures_core::Stream as _;
use kube::api::{Api, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Reports on their way at a time.
const REPORTS: usize = 16;
/// Until something counts as never published.
const PATIENCE: Duration = Duration::from_mins(3);

struct Seen {
    pod: String,
    rule_map: Option<String>,
    at: Instant,
}

/// All that was published so far.
pub(crate) struct Published {
    events: mpsc::UnboundedReceiver<Seen>,
    rule_maps: HashMap<String, Option<String>>,
    watch: JoinHandle<()>,
}

impl Drop for Published {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Published {
    /// Watches from now on; nothing may be there yet.
    pub(crate) fn watch(client: Client) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let watch = tokio::spawn(async move {
            let mut version = "0".to_owned();
            let room = Arc::new(Semaphore::new(REPORTS));
            // It ends every few minutes.
            while follow(&client, &mut version, &sender, &room).await.is_ok() {}
        });
        Self {
            events,
            rule_maps: HashMap::new(),
            watch,
        }
    }

    /// The rule map of a pod's only container.
    pub(crate) fn rule_map(&self, pod: &str) -> Option<&str> {
        self.rule_maps.get(pod)?.as_deref()
    }

    /// How many pods have something.
    pub(crate) fn len(&self) -> usize {
        self.rule_maps.len()
    }

    /// Takes in what is known by now.
    pub(crate) fn catch_up(&mut self) {
        while let Ok(seen) = self.events.try_recv() {
            self.rule_maps.insert(seen.pod, seen.rule_map);
        }
    }

    /// Waits until it is as described; answers when the last event for that was seen.
    pub(crate) async fn until(&mut self, reached: impl Fn(&Self) -> bool) -> Result<Instant> {
        loop {
            let Ok(seen) = timeout(PATIENCE, self.events.recv()).await else {
                bail!("nothing was published for {PATIENCE:?}");
            };
            let seen = seen.context("the watch of what is published has ended")?;
            self.rule_maps.insert(seen.pod, seen.rule_map);
            if reached(self) {
                return Ok(seen.at);
            }
        }
    }
}

async fn follow(
    client: &Client,
    version: &mut String,
    sender: &mpsc::UnboundedSender<Seen>,
    room: &Arc<Semaphore>,
) -> Result<()> {
    let api = Api::<PodEnforcement>::all(client.clone());
    let mut events = pin!(api.watch(&WatchParams::default(), version).await?);
    while let Some(event) = poll_fn(|cx| events.as_mut().poll_next(cx)).await {
        let object = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => object,
            WatchEvent::Error(error) => bail!("the watch failed: {error:?}"),
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => continue,
        };
        *version = object.resource_version().unwrap_or_default();
        let mut containers = object.spec.containers.iter();
        sender.send(Seen {
            pod: format!(
                "{}/{}",
                object.namespace().unwrap_or_default(),
                object.name_any()
            ),
            rule_map: containers.next().and_then(|one| one.rule_map.clone()),
            at: Instant::now(),
        })?;
        let (client, room) = (client.clone(), Arc::clone(room));
        tokio::spawn(async move {
            let _permit = room.acquire().await;
            // What is late or gone is reported by the next event, if there is one.
            let _ = arm(&client, &object).await;
        });
    }
    Ok(())
}
