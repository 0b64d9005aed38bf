//! Compiled tables by number, and by what they stand for.

use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{HashMap, MapData};
use bartizan_abi::handover::TableDigest;
use bartizan_abi::limits::{MAX_TABLES, TABLE_SIZE};

use super::error::{MapError, failed, removed};
use super::inner::{self, Template};

/// A table to be in the kernel.
#[derive(Clone, Copy, Debug)]
pub struct NewTable<'a> {
    /// Its bytes, checked by `bartizan_policy`.
    pub bytes: &'a [u8],
    /// Of all that its number stands for.
    pub digest: TableDigest,
}

pub(super) struct Tables {
    outer: MapData,
    template: Template,
    /// For a successor. An entry is made after its table and removed before.
    digests: HashMap<MapData, u32, TableDigest>,
    /// Numbers in use. Number 0 is never given out.
    used: Vec<bool>,
    last: u32,
    /// Tables of a predecessor that nobody has asked for yet.
    left: Vec<(TableDigest, u32)>,
}

impl Tables {
    /// Takes over what a predecessor has left.
    pub(super) fn new(
        outer: MapData,
        template: Template,
        digests: HashMap<MapData, u32, TableDigest>,
    ) -> Result<Self, MapError> {
        let mut tables = Self {
            outer,
            template,
            digests,
            used: vec![false; MAX_TABLES as usize],
            last: 0,
            left: Vec::new(),
        };
        for entry in &tables.digests {
            let (number, digest) = entry.map_err(failed("reading the tables' digests"))?;
            if let Some(used) = tables.used.get_mut(number as usize) {
                *used = true;
            }
            tables.last = tables.last.max(number);
            tables.left.push((digest, number));
        }
        Ok(tables)
    }

    /// The numbers of tables: of those that a predecessor has left, else new ones, all or
    /// none; and whether all programs that ran before have ended, as after each new one.
    pub(super) fn add(&mut self, tables: &[NewTable<'_>]) -> Result<(Vec<u32>, bool), MapError> {
        let left = |table: &NewTable<'_>| {
            let mut left = self.left.iter();
            left.find(|(digest, _)| *digest == table.digest)
                .map(|(_, number)| *number)
        };
        let found: Vec<Option<u32>> = tables.iter().map(left).collect();
        let all = tables.iter().zip(&found);
        let missing: Vec<NewTable<'_>> = all
            .filter(|(_, found)| found.is_none())
            .map(|(table, _)| *table)
            .collect();
        let mut fresh = self.load(&missing)?.into_iter();
        self.left
            .retain(|(_, number)| !found.contains(&Some(*number)));
        let numbers = found.into_iter();
        let numbers = numbers.filter_map(|found| found.or_else(|| fresh.next()));
        Ok((numbers.collect(), !missing.is_empty()))
    }

    fn load(&mut self, tables: &[NewTable<'_>]) -> Result<Vec<u32>, MapError> {
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let numbers: Vec<u32> = (1..=MAX_TABLES)
            .map(|step| (self.last + step) % MAX_TABLES)
            .filter(|number| *number != 0 && !self.used[*number as usize])
            .take(tables.len())
            .collect();
        if numbers.len() < tables.len() {
            return Err(MapError::Full {
                what: "rule map",
                limit: MAX_TABLES - 1,
            });
        }
        let maps = numbers
            .iter()
            .zip(tables)
            .map(|(number, table)| Ok((*number, self.fill(table.bytes)?)))
            .collect::<Result<Vec<_>, MapError>>()?;
        let published =
            inner::publish(self.outer.fd().as_fd(), &maps).map_err(|source| MapError::Call {
                operation: "publishing tables",
                source,
            });
        let mut noted = numbers.iter().zip(tables);
        let noted = published.and_then(|()| {
            noted.try_for_each(|(number, table)| {
                let inserted = self.digests.insert(number, table.digest, 0);
                inserted.map_err(failed("noting a table's digest"))
            })
        });
        if let Err(error) = noted {
            for number in &numbers {
                // Not there if it was not reached.
                let _ = self.digests.remove(number);
                let _ = inner::delete(self.outer.fd().as_fd(), *number);
            }
            return Err(error);
        }
        for number in &numbers {
            self.used[*number as usize] = true;
            self.last = *number;
        }
        Ok(numbers)
    }

    /// Removes what a predecessor has left and nobody asked for.
    pub(super) fn remove_left(&mut self) -> Result<(), MapError> {
        while let Some((_, number)) = self.left.last() {
            self.remove(*number)?;
            self.left.pop();
        }
        Ok(())
    }

    fn fill(&self, table: &[u8]) -> Result<OwnedFd, MapError> {
        if table.len() > TABLE_SIZE as usize {
            return Err(MapError::TableSize(table.len()));
        }
        let map = self.template.fill(table)?;
        inner::freeze(map.as_fd()).map_err(|source| MapError::Call {
            operation: "freezing a table",
            source,
        })?;
        Ok(map)
    }

    pub(super) fn remove(&mut self, number: u32) -> Result<(), MapError> {
        removed(self.digests.remove(&number), "removing a table's digest")?;
        inner::delete(self.outer.fd().as_fd(), number).map_err(|source| MapError::Call {
            operation: "removing a table",
            source,
        })?;
        if let Some(used) = self.used.get_mut(number as usize) {
            *used = false;
        }
        Ok(())
    }
}
