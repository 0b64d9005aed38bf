//! Pages name metrics that there are.

use std::fs;

use super::files;
use crate::monitoring::scrape::{Program, exported, families, mentioned};

#[test]
fn metrics_that_pages_name_are_exported() {
    let exported = exported().unwrap();
    let scrapes = Program::ALL.map(|program| program.scrape().unwrap());
    let families: Vec<_> = scrapes.iter().flat_map(|text| families(text)).collect();
    let mut checked = 0;
    for page in files("docs", "md") {
        let text = fs::read_to_string(&page).unwrap();
        for (metric, _) in mentioned(&text) {
            let is_family = families.iter().any(|family| family.name == metric);
            let is_known = exported.contains_key(metric) || is_family;
            assert!(is_known, "{}: there is no {metric}", page.display());
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked} metrics were found");
}
