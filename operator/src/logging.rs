//! The log: tracing to standard error.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, LogFormat};

/// Starts it.
pub fn start(args: &Args) -> anyhow::Result<()> {
    let level = &args.log_level;
    let filter = EnvFilter::try_new(level)
        .with_context(|| format!("`{level}` is no log level: try warn, info or debug"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
