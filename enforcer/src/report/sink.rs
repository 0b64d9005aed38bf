//! Where lines go: a thread that writes, behind a bounded queue.
//!
//! A pipe that nobody reads, or that was closed, must neither hold up enforcement nor
//! make the enforcer grow. So lines that don't fit are dropped and counted; the
//! kernel's counters stay exact.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that may wait.
const QUEUE: usize = 512;

/// What the sink has counted.
#[derive(Debug, Default)]
pub struct Totals {
    written: AtomicU64,
    dropped: AtomicU64,
}

impl Totals {
    /// Lines written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Lines that didn't fit into the queue, or that could not be written.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The writing end.
pub struct Sink {
    lines: SyncSender<String>,
    done: Receiver<()>,
    totals: Arc<Totals>,
}

impl Sink {
    /// Starts the writing thread.
    pub fn start(mut to: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (lines, queue) = sync_channel::<String>(QUEUE);
        let (at_end, done) = sync_channel::<()>(1);
        let totals = Arc::new(Totals::default());
        let tally = Arc::clone(&totals);
        std::thread::Builder::new()
            .name("reports".into())
            .spawn(move || {
                let mut complained = false;
                for line in queue {
                    let result = to.write_all(line.as_bytes()).and_then(|()| to.flush());
                    let counter = if result.is_ok() {
                        &tally.written
                    } else {
                        &tally.dropped
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    if let Err(error) = result
                        && !complained
                    {
                        complained = true;
                        tracing::error!(%error, "denials can't be written; enforcement goes on");
                    }
                }
                let _ = at_end.send(());
            })?;
        Ok(Self {
            lines,
            done,
            totals,
        })
    }

    /// Queues a line; drops and counts it if the queue is full.
    pub fn send(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            self.totals.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What has been counted so far.
    pub fn totals(&self) -> &Arc<Totals> {
        &self.totals
    }

    /// Writes what is queued, for at most `patience`; false if that was not enough.
    pub fn finish(self, patience: Duration) -> bool {
        drop(self.lines);
        self.done.recv_timeout(patience) != Err(RecvTimeoutError::Timeout)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// Blocks until its channel is closed, then fails.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_out_in_order_before_the_end() {
        let out = Shared::default();
        let sink = Sink::start(out.clone()).unwrap();
        let totals = Arc::clone(sink.totals());
        for i in 0..100 {
            sink.send(format!("{i}\n"));
        }
        assert!(sink.finish(PATIENCE));
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        assert!(text.lines().eq((0..100).map(|i| i.to_string())));
        assert_eq!((totals.written(), totals.dropped()), (100, 0));
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_nothing_else() {
        let (release, stuck) = channel();
        let sink = Sink::start(Stuck(stuck)).unwrap();
        let totals = Arc::clone(sink.totals());
        let total = 3 * QUEUE as u64;
        for _ in 0..total {
            sink.send("line\n".into());
        }
        assert!(totals.dropped() >= total - QUEUE as u64 - 1);
        drop(release);
        assert!(sink.finish(PATIENCE));
        assert_eq!((totals.written(), totals.dropped()), (0, total));
    }

    #[test]
    fn an_end_that_never_comes_is_not_waited_for() {
        let (_release, stuck) = channel();
        let sink = Sink::start(Stuck(stuck)).unwrap();
        sink.send("line\n".into());
        assert!(!sink.finish(Duration::from_millis(10)));
    }
}
