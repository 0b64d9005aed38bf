//! A program that does operations inside a container, as it is told.

use std::io::{BufRead as _, BufReader, Read, Write};

use anyhow::{Context as _, Result, bail, ensure};

/// What a copy of the probe is started with to be one.
pub const SERVE: [&str; 2] = ["probe", "serve"];

/// What it reads from and writes to: a line with an operation, a line with the answer.
pub struct Agent {
    to: Box<dyn Write>,
    from: BufReader<Box<dyn Read>>,
}

impl Agent {
    /// Waits until it is ready.
    pub fn new(to: impl Write + 'static, from: impl Read + 'static) -> Result<Self> {
        let mut agent = Self {
            to: Box::new(to),
            from: BufReader::new(Box::new(from)),
        };
        ensure!(agent.line()? == "ready", "it doesn't answer");
        Ok(agent)
    }

    /// Lets it do an operation: the errno, 0 for success.
    pub fn perform(&mut self, words: &[&str]) -> Result<i32> {
        writeln!(self.to, "{}", words.join(" "))?;
        self.to.flush()?;
        let answer = self.line()?;
        answer
            .parse()
            .with_context(|| format!("{}: {answer}", words.join(" ")))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            bail!("it has ended");
        }
        Ok(line.trim_end().to_owned())
    }
}
