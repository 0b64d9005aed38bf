//! Compiled tables by number.

use std::os::fd::{AsFd, OwnedFd};

use aya::maps::MapData;
use bartizan_abi::limits::{MAX_TABLES, TABLE_SIZE};

use super::error::MapError;
use super::inner::{self, Template};

pub(super) struct Tables {
    outer: MapData,
    template: Template,
    /// Numbers in use. Number 0 is never given out.
    used: Vec<bool>,
    last: u32,
}

impl Tables {
    pub(super) fn new(outer: MapData, template: Template) -> Self {
        Self {
            outer,
            template,
            used: vec![false; MAX_TABLES as usize],
            last: 0,
        }
    }

    /// Loads tables; all or none. Numbers are reused as late as possible.
    pub(super) fn add(&mut self, tables: &[&[u8]]) -> Result<Vec<u32>, MapError> {
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
            .map(|(number, table)| Ok((*number, self.fill(table)?)))
            .collect::<Result<Vec<_>, MapError>>()?;
        if let Err(source) = inner::publish(self.outer.fd().as_fd(), &maps) {
            for number in &numbers {
                // Not there if it was not reached.
                let _ = inner::delete(self.outer.fd().as_fd(), *number);
            }
            return Err(MapError::Call {
                operation: "publishing tables",
                source,
            });
        }
        for number in &numbers {
            self.used[*number as usize] = true;
            self.last = *number;
        }
        Ok(numbers)
    }

    fn fill(&self, table: &[u8]) -> Result<OwnedFd, MapError> {
        if table.len() > TABLE_SIZE as usize {
            return Err(MapError::TableSize(table.len()));
        }
        self.template.fill(table)
    }

    pub(super) fn remove(&mut self, number: u32) -> Result<(), MapError> {
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
