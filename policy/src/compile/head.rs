//! Fields of the header that no automaton decides: defaults, judged operations, and the
//! rows of things that aren't read.

use bartizan_abi::op::{Operation, Ops};
use bartizan_abi::table::{NO_RULE, header};

use super::effect;
use crate::rule_map::{Effect, Matcher, Mode, RuleMap};

/// Offsets and values of fields with 32 bits, and of those with 16.
pub(super) type Fields = (Vec<(u32, u32)>, Vec<(u32, u16)>);

/// The fields of a rule map, with the rows of programs and of files without a name and
/// the rows of capabilities and of what is restricted.
pub(super) fn fields(
    map: &RuleMap,
    unresolved: [u32; 2],
    capabilities: &[u32],
    restrictions: u32,
) -> Fields {
    let mut fields = vec![
        (header::UNRESOLVED_ROWS, unresolved[0]),
        (header::UNRESOLVED_ROWS + 4, unresolved[1]),
        (header::RESTRICT_ROW, restrictions),
        (
            header::JUDGED,
            map.rules
                .iter()
                .fold(0, |ops, rule| ops | effect::judged(rule)),
        ),
    ];
    let mut short_fields: Vec<(u32, u16)> = capabilities
        .iter()
        .enumerate()
        .map(|(number, row)| (header::CAPABILITY_ROWS + number as u32 * 2, *row as u16))
        .collect();
    for (mode, named, unnamed, list) in [
        (
            Mode::Enforce,
            header::DEFAULT_ENFORCE,
            header::UNRESOLVED_ENFORCE,
            header::DEFAULT_RULES_ENFORCE,
        ),
        (
            Mode::Audit,
            header::DEFAULT_AUDIT,
            header::UNRESOLVED_AUDIT,
            header::DEFAULT_RULES_AUDIT,
        ),
    ] {
        let mut ops: Ops = 0;
        let mut first = [NO_RULE; 32];
        for (number, rule) in map.rules.iter().enumerate() {
            let (Effect::DefaultDeny, Matcher::Default(category)) = (rule.effect, &rule.matcher)
            else {
                continue;
            };
            if map.mode(rule) != mode {
                continue;
            }
            let of_category = effect::category_ops(*category);
            ops |= of_category;
            for (operation, first) in first.iter_mut().enumerate() {
                if of_category & 1 << operation != 0 {
                    *first = (*first).min(number as u16);
                }
            }
        }
        // What is mapped is no program of an allow list, unless nobody can tell.
        fields.push((named, ops & !Operation::Map.bit()));
        fields.push((unnamed, ops));
        short_fields.extend((list..).step_by(2).zip(first));
    }
    (fields, short_fields)
}
