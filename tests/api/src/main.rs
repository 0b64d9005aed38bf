//! A cluster to try things on, until Ctrl-C; prints the path of its kubeconfig.
//! `cargo xtask api --serve` runs it.
#![expect(
    clippy::print_stdout,
    reason = "the path is what whoever started this needs"
)]

use bartizan_api_tests::{Setup, serve};

fn main() -> anyhow::Result<()> {
    let setup = Setup {
        controllers: true,
        ..Setup::default()
    };
    serve(setup, async |cluster| {
        println!("{}", cluster.admin().kubeconfig().display());
        Ok(tokio::signal::ctrl_c().await?)
    })
}
