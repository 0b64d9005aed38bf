//! The enforcer's own log: tracing to standard error.

use std::io::IsTerminal;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::args::{Args, Command, LogFormat};
use crate::failure::Failure;

/// Starts it. `--log-level` beats `RUST_LOG` beats the command's default.
pub fn start(args: &Args) -> Result<(), Failure> {
    let default = match args.command {
        // The terminal belongs to the command.
        Command::Run(_) | Command::KernelFeatures | Command::Uninstall(_) => "warn",
        Command::Standalone(_) | Command::Node(_) => "info",
    };
    let from_environment = std::env::var(EnvFilter::DEFAULT_ENV).ok();
    let level = args.log.log_level.clone().or(from_environment);
    let level = level
        .as_deref()
        .filter(|level| !level.is_empty())
        .unwrap_or(default);
    // The BPF loader tells every relocation at debug.
    let level = if level.contains('=') {
        level.to_owned()
    } else {
        format!("{level},aya=warn,aya_obj=warn")
    };
    let filter = EnvFilter::try_new(&level)
        .with_context(|| format!("`{level}` is no log level: try warn, info or debug"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match args.log.log_format {
        LogFormat::Text => builder.with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
