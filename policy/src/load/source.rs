//! Files as they come from disk: names and bytes, nothing judged yet.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::MAX_BYTES;

/// One file, read or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name in messages.
    pub file: String,
    /// Its bytes, of which [`super::load`] checks that they are UTF-8, or why there are
    /// none. Among sources, so that one that can't be read hides no mistake of another.
    pub bytes: Result<Vec<u8>, String>,
}

impl Source {
    /// A source from text.
    pub fn new(file: impl Into<String>, text: impl Into<Vec<u8>>) -> Self {
        Self {
            file: file.into(),
            bytes: Ok(text.into()),
        }
    }

    /// Reads files and directories (the `.yaml` and `.yml` files right inside, by
    /// name); `-` is standard input.
    pub fn read_all(paths: &[PathBuf]) -> Vec<Self> {
        let mut sources = Vec::new();
        let mut seen = HashMap::new();
        for path in paths {
            match expand(path) {
                Ok(files) if files.is_empty() => sources.push(Self::failed(path, no_file(path))),
                Ok(files) => sources.extend(files.iter().map(|file| {
                    match seen.insert(identity(file), file.clone()) {
                        Some(first) if first == *file => {
                            Self::failed(file, "is given twice: leave one out".to_owned())
                        }
                        Some(first) => {
                            let why = format!("is the same file as {}", first.display());
                            Self::failed(file, format!("{why}: leave one out"))
                        }
                        None if file == path => Self::read(file),
                        None => Self::read_found(file),
                    }
                })),
                Err(error) => sources.push(Self::unreadable(path, &error)),
            }
        }
        sources
    }

    /// Reads a file of a directory. Nobody may be at the other end of a pipe that only
    /// lies there; one that was named (`<(command)`) is meant.
    fn read_found(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => Self::failed(
                path,
                "is no regular file: remove it from the directory".to_owned(),
            ),
            Ok(_) => Self::read(path),
            Err(error) => Self::unreadable(path, &error),
        }
    }

    /// Reads one file, and never much more of it than is allowed.
    fn read(path: &Path) -> Self {
        let limit = MAX_BYTES as u64 + 1;
        let mut bytes = Vec::new();
        let read = if path == Path::new("-") {
            io::stdin().lock().take(limit).read_to_end(&mut bytes)
        } else {
            File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
        };
        match read {
            Ok(_) => Self::new(name(path), bytes),
            Err(error) => Self::unreadable(path, &error),
        }
    }

    fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::failed(path, format!("can't be read: {error}"))
    }

    fn failed(path: &Path, why: String) -> Self {
        Self {
            file: name(path),
            bytes: Err(why),
        }
    }
}

fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Equal for two names of one file.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// About a directory without policies: what it has may be one level below.
fn no_file(directory: &Path) -> String {
    let none = "the directory has no .yaml or .yml file";
    let mut below: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && expand(path).is_ok_and(|files| !files.is_empty()))
        .collect();
    if below.is_empty() {
        return none.to_owned();
    }
    below.sort();
    let below: Vec<String> = below
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let below = below.join(" or ");
    format!("{none} itself, and those below it are not searched: name {below}")
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

    /// A directory of its own for a test, removed at its end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str, files: &[&str]) -> Self {
            let id = std::process::id();
            let path = std::env::temp_dir().join(format!("bartizan-source-{name}-{id}"));
            for file in files {
                let file = path.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, file.file_name().unwrap().as_encoded_bytes()).unwrap();
            }
            Self(path)
        }

        fn file(&self, name: &str) -> String {
            self.0.join(name).display().to_string()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            // Best effort: what is left is in the temporary directory.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn failures(sources: &[Source]) -> Vec<(&str, &str)> {
        let failed = sources.iter().filter_map(|source| {
            let why = source.bytes.as_ref().err()?;
            Some((source.file.as_str(), why.as_str()))
        });
        failed.collect()
    }

    #[test]
    fn a_directory_is_its_visible_yaml_files_by_name() {
        let files = [
            "b.yml",
            "a.yaml",
            ".hidden.yaml",
            "notes.txt",
            "below.yaml/x",
        ];
        let directory = Directory::new("visible", &files);
        let sources = Source::read_all(std::slice::from_ref(&directory.0));
        let expected = ["a.yaml", "b.yml"].map(|name| Source::new(directory.file(name), name));
        assert_eq!(sources, expected);
    }

    #[test]
    fn what_cannot_be_read_hides_nothing() {
        let directory = Directory::new("unreadable", &["a.yaml", "c.yaml"]);
        std::os::unix::fs::symlink("nowhere", directory.0.join("b.yaml")).unwrap();
        let sources = Source::read_all(&["/nonexistent".into(), directory.0.clone()]);
        assert_eq!(sources.len(), 4);
        let missing = "can't be read: No such file or directory (os error 2)";
        assert_eq!(
            failures(&sources),
            [
                ("/nonexistent", missing),
                (directory.file("b.yaml").as_str(), missing)
            ]
        );
    }

    #[test]
    fn what_is_no_file_is_not_opened_in_a_directory() {
        let directory = Directory::new("pipe", &["a.yaml"]);
        let made = std::process::Command::new("mkfifo")
            .arg(directory.0.join("b.yaml"))
            .status();
        assert!(made.unwrap().success());
        let sources = Source::read_all(std::slice::from_ref(&directory.0));
        assert_eq!(sources.len(), 2);
        assert_eq!(
            failures(&sources),
            [(
                directory.file("b.yaml").as_str(),
                "is no regular file: remove it from the directory"
            )]
        );
    }

    #[test]
    fn a_file_that_is_given_twice_is_said_to_be() {
        let directory = Directory::new("twice", &["a.yaml"]);
        let file = directory.0.join("a.yaml");
        let dotted = directory
            .0
            .join("./.")
            .join("../")
            .join(directory.0.file_name().unwrap());
        let sources = Source::read_all(&[directory.0.clone(), file, dotted.join("a.yaml")]);
        let same = format!(
            "is the same file as {}: leave one out",
            directory.file("a.yaml")
        );
        assert_eq!(
            failures(&sources),
            [
                (
                    directory.file("a.yaml").as_str(),
                    "is given twice: leave one out"
                ),
                (dotted.join("a.yaml").to_str().unwrap(), same.as_str()),
            ]
        );
    }

    #[test]
    fn a_directory_with_policies_only_below_names_where() {
        let directory = Directory::new("below", &["a/a.yaml", "b/b.yml", "c/notes.txt"]);
        let none = "the directory has no .yaml or .yml file";
        let empty = directory.0.join("c");
        let sources = Source::read_all(&[directory.0.clone(), empty.clone()]);
        let hint = format!(
            "{none} itself, and those below it are not searched: name {} or {}",
            directory.file("a"),
            directory.file("b")
        );
        assert_eq!(
            failures(&sources),
            [
                (directory.0.to_str().unwrap(), hint.as_str()),
                (empty.to_str().unwrap(), none)
            ]
        );
    }
}
