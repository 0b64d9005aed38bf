//! `cargo xtask images`: container images, built without Docker and without a base from
//! elsewhere. What is in them is said by `config/images/NAME/Containerfile`.

mod archive;
mod content;

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

pub(crate) use archive::build;

use crate::command::say;
use crate::paths;
use crate::setup::{Package, ensure};

/// Which images.
#[derive(Args, Debug, Default)]
pub(crate) struct Images {
    /// Those to build [default: all]
    #[arg(value_enum)]
    images: Vec<Image>,
    /// Build each twice, and fail if the two differ
    #[arg(long)]
    twice: bool,
}

/// An image that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Image {
    /// The operator
    Operator,
    /// The enforcer, with the kernel programs inside
    Enforcer,
    /// For tests: busybox
    Busybox,
    /// For the demo: a web server
    Nginx,
    /// For tests: the program that does what the samples' tables say
    Probe,
}

impl Image {
    pub(crate) const ALL: [Self; 5] = [
        Self::Operator,
        Self::Enforcer,
        Self::Busybox,
        Self::Nginx,
        Self::Probe,
    ];

    /// Builds some, one after the other; returns the files with them.
    pub(crate) fn build_all(images: &[Self]) -> Result<Vec<PathBuf>> {
        images.iter().map(|image| image.build()).collect()
    }

    /// Builds what is out of date, and the image; returns the file with it.
    fn build(self) -> Result<PathBuf> {
        self.build_checked(false)
    }

    fn build_checked(self, twice: bool) -> Result<PathBuf> {
        ensure(&[Package::BUILDAH])?;
        let dir = paths::target().join("images");
        let context = dir.join(self.to_string());
        if context.exists() {
            fs::remove_dir_all(&context)
                .with_context(|| format!("can't remove {}", context.display()))?;
        }
        paths::make(&context)?;
        content::gather(self, &context)?;
        let archive = dir.join(format!("{self}.tar"));
        let name = self.name();
        let digest = build(&context, &name, &archive)?;
        if twice {
            let again = build(&context, &name, &dir.join(format!("{self}-again.tar")))?;
            if again != digest {
                bail!("two builds of {name} differ: {digest} and {again}");
            }
        }
        let size = archive
            .metadata()
            .with_context(|| format!("can't look at {}", archive.display()))?
            .len();
        let tenths = size * 10 / (1 << 20);
        say(format!(
            "{name}: {}.{} MiB, {digest}",
            tenths / 10,
            tenths % 10
        ));
        Ok(archive)
    }

    /// As pods name it.
    fn name(self) -> String {
        format!(
            "docker.io/library/bartizan-{self}:{}",
            env!("CARGO_PKG_VERSION")
        )
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Enforcer => "enforcer",
            Self::Busybox => "busybox",
            Self::Nginx => "nginx",
            Self::Probe => "probe",
        })
    }
}

impl Images {
    /// Builds them one after the other.
    pub(crate) fn run(&self) -> Result<()> {
        let images = if self.images.is_empty() {
            &Image::ALL[..]
        } else {
            &self.images
        };
        for image in images {
            println!("{}", image.build_checked(self.twice)?.display());
        }
        Ok(())
    }
}
