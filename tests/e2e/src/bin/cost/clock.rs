//! Timing one operation by running it often.

use std::time::Instant;

/// Batches per measurement; the median one counts, so that a timer's interrupt or
/// another process in some of them doesn't.
const BATCHES: usize = 5;
/// Operations per batch; an even number, so that moving something there and back ends
/// where it began.
const OPERATIONS: u32 = 400;

/// Nanoseconds of one operation. `operation` fails the measurement if it fails.
pub(crate) fn median<E>(mut operation: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut batch = || {
        let start = Instant::now();
        for _ in 0..OPERATIONS {
            operation()?;
        }
        Ok(start.elapsed().as_secs_f64() * 1e9 / f64::from(OPERATIONS))
    };
    // Fills the caches that the first operations fill.
    batch()?;
    let mut costs = [0.0; BATCHES];
    for cost in &mut costs {
        *cost = batch()?;
    }
    costs.sort_by(f64::total_cmp);
    Ok(costs[BATCHES / 2])
}
