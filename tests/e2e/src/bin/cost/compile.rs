//! Link and compile, as the enforcer does for each workload.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bartizan_policy::compile::compile;
use bartizan_policy::link::{Workload, link};
use bartizan_policy::load::{Source, load};
use serde_json::{Value, json};

/// The fastest counts: what else the machine does only adds.
const RUNS: usize = 7;

/// Rules, table bytes, and milliseconds to read, link and compile the policies of a file
/// for a workload with the label `KEY=VALUE`.
pub(crate) fn measure(label: &str, file: &Path) -> Result<Value> {
    let (key, value) = label.split_once('=').context("no label")?;
    let workload = Workload {
        labels: [(key.to_owned(), value.to_owned())].into(),
        ..Workload::default()
    };
    let (mut read, mut linked, mut compiled) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let (mut rules, mut bytes) = (0, 0);
    for _ in 0..RUNS {
        let start = Instant::now();
        let policies = load(&Source::read_all(&[file.to_owned()]))?;
        read = read.min(start.elapsed());
        let start = Instant::now();
        let map = link(&policies, &workload)?;
        linked = linked.min(start.elapsed());
        let start = Instant::now();
        bytes = compile(&map)?.len();
        compiled = compiled.min(start.elapsed());
        rules = map.rules.len();
    }
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(json!({
        "rules": rules,
        "bytes": bytes,
        "readMs": ms(read),
        "linkMs": ms(linked),
        "compileMs": ms(compiled),
    }))
}
