//! The places that are damaged: values in Redis, its append-only file, and a redb file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;
use tokio::time::sleep;

use super::image::Image;
use super::injury::Kind;
use super::redb_image::Reading;
use super::{redb_image, redis_image};
use crate::clock;
use crate::ports::Ports;
use crate::process::Process;
use crate::random::Random;
use crate::redis_server::{RedisServer, copy_directory};

/// A core starts on one of so many files that redb does not open, and on every other unreadable file.
const SHOWN: u64 = 10;
/// Deadline for the stored version of a new store; interval of the queries.
const VERSION: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);
const REDB_FILE: &str = "minerva.redb";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Place {
    /// All bytes of all keys and values of Redis.
    Redis,
    /// The files of Redis' append-only log.
    Aof,
    /// The redb file of a killed core.
    Redb,
    /// The redb file of a core that was stopped, which redb opens without a check.
    #[value(name = "redb-stopped")]
    #[serde(rename = "redb-stopped")]
    RedbStopped,
}

impl Place {
    pub(super) fn is_redb(self) -> bool {
        matches!(self, Self::Redb | Self::RedbStopped)
    }
}

/// A damaged copy of the store, as loaded by Redis or redb.
pub(super) enum Loaded {
    /// The rows, and the damaged position.
    Content(Image, String),
    /// Redis exits with an error, or redb does not open the file.
    Refused,
    /// This program cannot read the file with this damaged position, so a core has to show the streams.
    Unreadable(String),
}

/// The store of the rounds, and the files of the template.
pub(super) struct Store {
    place: Place,
    directory: PathBuf,
    /// The Redis of the rounds.
    server: RedisServer,
    redis: Process,
    /// A Redis that loads damaged files.
    loader: (RedisServer, Process),
}

impl Store {
    pub(super) async fn new(
        place: Place,
        ports: &mut Ports<'_>,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        // One file holds all writes of the preparation.
        let settings = ["auto-aof-rewrite-percentage 0", "appendfsync no"];
        let at = ports.take()?;
        let (server, redis) = RedisServer::new("redis", at, directory.join("redis"), &settings)?;
        let loader =
            RedisServer::new("loader", ports.take()?, directory.join("loader"), &settings)?;
        let mut store = Self { place, directory: directory.to_owned(), server, redis, loader };
        if !place.is_redb() {
            store.redis.spawn()?;
            store.redis.ready().await?;
        }
        Ok(store)
    }

    /// The address for the core.
    pub(super) fn url(&self) -> String {
        if self.place.is_redb() {
            format!("redb:{}", self.data().display())
        } else {
            format!("redis://{}/", self.server.address)
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn template(&self) -> PathBuf {
        self.directory.join("template")
    }

    /// Waits until the core has raised the stored version, so that the preparation writes all content of this version. A
    /// file has the newest version from the start; cores that share a store raise the version after two leases.
    pub(super) async fn wait_for_version(&self) -> anyhow::Result<()> {
        let deadline = clock::now() + VERSION;
        while !self.place.is_redb() && !redis_image::read(&self.server).await?.has_version() {
            ensure!(clock::now() < deadline, "the core does not raise the stored version");
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Keeps the files of the prepared store, and returns the content. No core runs.
    pub(super) async fn keep_template(&mut self) -> anyhow::Result<Image> {
        if self.place.is_redb() {
            copy_directory(&self.data(), &self.template())?;
            return match redb_image::read(&self.data().join(REDB_FILE)).await? {
                Reading::Rows(image) => Ok(image),
                Reading::NotOpened | Reading::Unreadable => {
                    bail!("the undamaged file cannot be read")
                }
            };
        }
        let image = redis_image::read(&self.server).await?;
        self.redis.kill().await?;
        copy_directory(&self.server.directory, &self.template())?;
        // The rounds need no file.
        let settings = ["appendonly no"];
        let directory = self.directory.join("rounds");
        (self.server, self.redis) =
            RedisServer::new("redis", self.server.address, directory, &settings)?;
        self.redis.spawn()?;
        self.redis.ready().await?;
        Ok(image)
    }

    /// Damages a copy of the template at a position drawn uniformly over all bytes, and loads the copy.
    pub(super) async fn damage(
        &mut self,
        kind: Kind,
        original: &Image,
        random: &mut Random,
    ) -> anyhow::Result<Loaded> {
        if self.place == Place::Redis {
            let (mut image, detail) = (original.clone(), random.bits());
            let position = random.between(0, image.bytes() as u64 - 1) as usize;
            image.change_at(position, |bytes, offset| kind.apply(bytes, offset, detail));
            return Ok(Loaded::Content(image, format!("{kind:?} {detail} at {position}")));
        }
        let copy = if self.place.is_redb() {
            self.directory.join("copy")
        } else {
            self.loader.0.directory.clone()
        };
        copy_directory(&self.template(), &copy)?;
        let label = damage_files(&copy, kind, random)?;
        if self.place.is_redb() {
            load_redb(&copy, label, random.between(1, SHOWN) == 1).await
        } else {
            self.load_redis(label).await
        }
    }

    /// Puts the damaged file itself in place.
    pub(super) fn put_copy(&self) -> anyhow::Result<()> {
        copy_directory(&self.directory.join("copy"), &self.data())
            .context("cannot copy the damaged file")
    }

    /// Keeps the damaged file with the logs; returns the directory.
    pub(super) fn keep_copy(&self, number: usize) -> anyhow::Result<PathBuf> {
        let kept = self.directory.join(format!("crashed{number}"));
        copy_directory(&self.directory.join("copy"), &kept)
            .context("cannot keep the damaged file")?;
        Ok(kept)
    }

    async fn load_redis(&mut self, label: String) -> anyhow::Result<Loaded> {
        let (server, process) = &mut self.loader;
        process.spawn()?;
        if process.ready().await.is_err() {
            process.wait().await.context("Redis neither loads nor rejects the file")?;
            return Ok(Loaded::Refused);
        }
        let image = redis_image::read(server).await;
        process.kill().await?;
        Ok(Loaded::Content(image?, label))
    }

    /// Puts the content for the next round in place.
    pub(super) async fn put(&self, image: &Image) -> anyhow::Result<()> {
        if !self.place.is_redb() {
            return redis_image::write(&self.server, image).await;
        }
        if self.data().exists() {
            std::fs::remove_dir_all(self.data())?;
        }
        std::fs::create_dir_all(self.data())?;
        redb_image::write(&self.data().join(REDB_FILE), image)
    }
}

/// Loads a damaged file. A file that redb does not open is refused by the core as well, which `is_shown` verifies.
async fn load_redb(copy: &Path, label: String, is_shown: bool) -> anyhow::Result<Loaded> {
    Ok(match redb_image::read(&copy.join(REDB_FILE)).await? {
        Reading::Rows(image) => Loaded::Content(image, label),
        Reading::NotOpened if !is_shown => Loaded::Refused,
        Reading::NotOpened | Reading::Unreadable => Loaded::Unreadable(label),
    })
}

/// Damages one of the files of a directory; returns the position.
fn damage_files(directory: &Path, kind: Kind, random: &mut Random) -> anyhow::Result<String> {
    let mut files = Vec::new();
    list(directory, &mut files)?;
    files.sort();
    let total: u64 = files.iter().map(|(_, length)| length).sum();
    let mut position = random.between(0, total.saturating_sub(1));
    for (path, length) in files {
        if position < length {
            let mut bytes = std::fs::read(&path)?;
            let detail = random.bits();
            kind.apply(&mut bytes, position as usize, detail);
            std::fs::write(&path, bytes).context("cannot write the damaged file")?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            return Ok(format!("{kind:?} {detail} at {position} of {name}"));
        }
        position -= length;
    }
    bail!("there is no file in {}", directory.display())
}

fn list(directory: &Path, files: &mut Vec<(PathBuf, u64)>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_damaged_at_some_position() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("appendonlydir");
        std::fs::create_dir(&below).unwrap();
        let write = || {
            std::fs::write(below.join("a"), [0; 8]).unwrap();
            std::fs::write(directory.path().join("b"), [0; 8]).unwrap();
        };
        let mut random = Random::new(5);
        let mut damaged = [0, 0];
        for _ in 0..40 {
            write();
            damage_files(directory.path(), Kind::Flip, &mut random).unwrap();
            let changed = [below.join("a"), directory.path().join("b")]
                .map(|path| std::fs::read(path).unwrap() != [0; 8]);
            assert!(changed[0] != changed[1], "exactly one file");
            damaged[usize::from(changed[1])] += 1;
        }
        assert!(damaged.iter().all(|&count| count > 5), "{damaged:?}");
    }
}
