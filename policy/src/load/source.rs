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
        // Hidden: a mounted ConfigMap's `..data`, and what editors leave.
        let is_hidden = file
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes()[0] == b'.');
        if is_yaml && !is_hidden && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_its_visible_yaml_files_by_name() {
        let path = std::env::temp_dir().join(format!("bartizan-source-{}", std::process::id()));
        fs::create_dir_all(path.join("below.yaml")).unwrap();
        for name in ["b.yml", "a.yaml", ".hidden.yaml", "notes.txt"] {
            fs::write(path.join(name), name).unwrap();
        }
        let sources = Source::read_all(std::slice::from_ref(&path));
        std::os::unix::fs::symlink("nowhere", path.join("c.yaml")).unwrap();
        let broken = Source::read_all(&[path.clone(), "/nonexistent".into()]);
        fs::remove_dir_all(&path).unwrap();

        let file = |name: &str| path.join(name).display().to_string();
        let expected = ["a.yaml", "b.yml"].map(|name| Source::new(file(name), name));
        assert_eq!(sources, Ok(expected.to_vec()));
        let missing = "can't be read: No such file or directory (os error 2)";
        assert_eq!(
            broken.unwrap_err().to_string(),
            format!("{}: {missing}\n/nonexistent: {missing}", file("c.yaml"))
        );
    }
}
