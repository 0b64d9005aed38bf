//! Files as they come from disk: names and bytes, nothing judged yet.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Diagnostic, MAX_BYTES};

/// The text of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in messages.
    pub file: String,
    /// Its bytes; UTF-8 is checked by [`super::load`].
    pub bytes: Vec<u8>,
}

impl Source {
    /// A source from text.
    pub fn new(file: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self {
            file: file.into(),
            bytes: text.into(),
        }
    }

    /// Reads files and directories (the `.yaml` and `.yml` files right inside, by
    /// name); `-` is standard input. Every path that can't be read is reported.
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, super::Diagnostics> {
        let mut sources = Vec::new();
        let mut problems = Vec::new();
        for path in paths {
            match expand(path) {
                Ok(files) if files.is_empty() => problems.push(Diagnostic::of_file(
                    &path.display().to_string(),
                    "the directory has no .yaml or .yml file",
                )),
                Ok(files) => {
                    for file in files {
                        match Self::read(&file) {
                            Ok(source) => sources.push(source),
                            Err(error) => problems.push(unreadable(&file, &error)),
                        }
                    }
                }
                Err(error) => problems.push(unreadable(path, &error)),
            }
        }
        if problems.is_empty() {
            Ok(sources)
        } else {
            Err(super::Diagnostics(problems))
        }
    }

    /// Reads one file, and never much more of it than is allowed.
    fn read(path: &Path) -> io::Result<Self> {
        let limit = MAX_BYTES as u64 + 1;
        let mut bytes = Vec::new();
        if path == Path::new("-") {
            io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
            return Ok(Self::new("<stdin>", bytes));
        }
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(Self::new(path.display().to_string(), bytes))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::of_file(
        &path.display().to_string(),
        format!("can't be read: {error}"),
    )
}

/// The files of a directory in the order of their names, or the path itself.
fn expand(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path == Path::new("-") || !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let is_yaml = file
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml");
        // A mounted ConfigMap's `..data` is a hidden link to a directory.
        if is_yaml && fs::metadata(&file)?.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}
