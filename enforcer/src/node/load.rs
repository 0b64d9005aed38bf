//! The kernel programs, verified or adopted on a thread of their own: until they are, which
//! can take long, whoever asks gets an answer.

use std::path::Path;
use std::thread;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot};

use crate::bpf::Kernel;
use crate::cgroup::Hierarchy;
use crate::failure::Failure;
use crate::http::{self, Question};
use crate::selftest::{self, Prober};

/// A kernel that has been seen to deny.
pub(super) async fn load(
    pins: &Path,
    prober: Prober,
    questions: &mut Option<mpsc::Receiver<Question>>,
) -> Result<(Kernel, Hierarchy), Failure> {
    let (done, mut loaded) = oneshot::channel();
    let pins = pins.to_owned();
    let prepare = move || {
        // Whoever waits for it may have gone.
        let _ = done.send(prepare(&pins, prober));
    };
    thread::Builder::new()
        .name("load".to_owned())
        .spawn(prepare)?;
    loop {
        tokio::select! {
            result = &mut loaded => {
                return result.context("the thread that loads programs ended early")?;
            }
            question = http::next(questions) => answer(question),
        }
    }
}

fn prepare(pins: &Path, prober: Prober) -> Result<(Kernel, Hierarchy), Failure> {
    let hierarchy = Hierarchy::find()?;
    let mut kernel = Kernel::pinned(pins)?;
    selftest::run(&mut kernel, &hierarchy, prober, 0)?;
    Ok((kernel, hierarchy))
}

/// Says no more than is known. Whoever asked may have gone.
fn answer(question: Question) {
    match question {
        Question::Metrics(reply) => drop(reply.send("# EOF\n".to_owned())),
        Question::Ready(reply) => drop(reply.send(Err("loading\n".to_owned()))),
    }
}
