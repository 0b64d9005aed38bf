//! Whether bytes are a table that may be loaded.
//!
//! The kernel programs mask every offset, so no table can make them read outside of it.
//! What is checked here is that it was made by this version for this layout and that
//! what its header points at is inside, so that a cut or foreign file is refused before
//! it decides anything.

use bartizan_abi::limits::{MAX_SUBJECTS, TABLE_SIZE};
use bartizan_abi::table::{
    At, BODY, Bytes, GATE_SIZE, LITERAL_SIZE, LITERALS, MAGIC, STATE_SIZE, Table, VERSION, header,
};

/// Why bytes are no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Shorter than any table or longer than the largest.
    #[error("a compiled table has {BODY} to {TABLE_SIZE} bytes, not {bytes}")]
    Length {
        /// Its length.
        bytes: usize,
    },
    /// Something else.
    #[error("not a compiled table")]
    Magic,
    /// Another layout.
    #[error("the table has layout version {version}, not {VERSION}")]
    Version {
        /// Its version.
        version: u32,
    },
    /// Cut, or with something behind its end.
    #[error("the table should have {stated} bytes and has {bytes}")]
    Size {
        /// Bytes it has.
        bytes: usize,
        /// Bytes it says it has.
        stated: u32,
    },
    /// A field of the header that no compiler writes.
    #[error("the table's {field} is damaged")]
    Damaged {
        /// What the field is.
        field: &'static str,
    },
}

impl TableError {
    /// The kind of error, as metrics and conditions name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Length { .. } | Self::Size { .. } => "TableSize",
            Self::Magic => "NotATable",
            Self::Version { .. } => "TableVersion",
            Self::Damaged { .. } => "TableDamaged",
        }
    }
}

/// Refuses bytes that are no table of this version.
pub fn check_table(table: &[u8]) -> Result<(), TableError> {
    let bytes = table.len();
    if bytes < BODY as usize || bytes > TABLE_SIZE as usize {
        return Err(TableError::Length { bytes });
    }
    let head = Bytes(table).header();
    // Fields of 32 bits.
    let at = |field: u32| head.u32(field) as u32;
    if at(header::MAGIC) != MAGIC {
        return Err(TableError::Magic);
    }
    let version = at(header::VERSION);
    if version != VERSION {
        return Err(TableError::Version { version });
    }
    let stated = at(header::SIZE);
    if stated as usize != bytes {
        return Err(TableError::Size { bytes, stated });
    }
    let mask = at(header::LITERAL_MASK);
    let subjects = at(header::SUBJECTS);
    let inside = |from: u32, count: u32, size: u32| {
        from >= BODY && u64::from(from) + u64::from(count) * u64::from(size) <= bytes as u64
    };
    let slots = mask.wrapping_add(1);
    for (field, sound) in [
        ("zero field", at(header::ZERO) == 0),
        (
            "number of subjects",
            (1..=MAX_SUBJECTS as u32).contains(&subjects),
        ),
        (
            "literals",
            slots.is_power_of_two() && inside(LITERALS, slots, LITERAL_SIZE),
        ),
        ("literal seed", head.u64(header::LITERAL_SEED) & 1 == 1),
        ("long literals", inside(at(header::EXT), 0, 8)),
        ("leaf rows", inside(at(header::LEAF_ROWS), 1, 4)),
        // Row 0 is always there.
        ("rows", inside(at(header::ROWS), subjects, 2)),
        ("row operations", inside(at(header::ROW_OPS), 1, 4)),
        (
            "leaf gate",
            is_number(at(header::LEAF_GATE), GATE_SIZE, &inside),
        ),
        (
            "start states",
            (0..5).all(|i| is_number(at(header::STARTS + i * 4), STATE_SIZE, &inside)),
        ),
        (
            "subject automaton",
            subjects == 1 || at(header::STARTS + 8) != 0,
        ),
    ] {
        if !sound {
            return Err(TableError::Damaged { field });
        }
    }
    Ok(())
}

/// Whether something of that size can have that number: 0, or its place in units of its
/// size.
fn is_number(number: u32, size: u32, inside: &dyn Fn(u32, u32, u32) -> bool) -> bool {
    number == 0
        || number
            .checked_mul(size)
            .is_some_and(|offset| inside(offset, 1, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::compile;
    use crate::rule_map::RuleMap;

    fn table() -> Vec<u8> {
        compile(&RuleMap::default()).expect("nothing to refuse")
    }

    #[track_caller]
    fn check(table: &[u8], reason: &str) {
        let error = check_table(table).expect_err("damaged");
        assert_eq!(error.reason(), reason, "{error}");
    }

    #[test]
    fn compiled_tables_are_accepted() {
        assert_eq!(check_table(&table()), Ok(()));
    }

    #[test]
    fn other_bytes_are_refused() {
        check(&[], "TableSize");
        check(&vec![0xff; 20_000], "NotATable");
        check(&vec![0; TABLE_SIZE as usize + 1], "TableSize");
        let table = table();
        check(&table[..table.len() - 1], "TableSize");
        check(&[&table[..], &[0]].concat(), "TableSize");
        for (field, value, reason) in [
            (header::VERSION, VERSION + 1, "TableVersion"),
            (header::ZERO, 1, "TableDamaged"),
            (header::SUBJECTS, 0, "TableDamaged"),
            (header::SUBJECTS, 256, "TableDamaged"),
            (header::SUBJECTS, 3, "TableDamaged"),
            (header::LITERAL_MASK, 2, "TableDamaged"),
            (header::LITERAL_MASK, u32::MAX, "TableDamaged"),
            (header::ROWS, u32::MAX, "TableDamaged"),
            (header::ROW_OPS, u32::MAX, "TableDamaged"),
            (header::LEAF_ROWS, table.len() as u32, "TableDamaged"),
            (header::LEAF_GATE, 1 << 15, "TableDamaged"),
            (header::STARTS, 1, "TableDamaged"),
            (header::STARTS + 16, u32::MAX, "TableDamaged"),
        ] {
            let mut damaged = table.clone();
            damaged[field as usize..][..4].copy_from_slice(&value.to_le_bytes());
            check(&damaged, reason);
        }
    }
}
