//! The figure of the page: cost against rules and against depth.
//!
//! An SVG by hand: two panels, a line for each kernel and kind of workload. Colours follow
//! the reader's light or dark background, kernels differ in their marks' shape as well.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use super::markdown::grouped;
use super::page::Kernels;
use super::plan::UNMANAGED;
use super::readings::Readings;
use super::targets::{DEPTH_5, DEPTHS, OPENED, open};
use crate::paths;

const FILE: &str = "docs/performance.svg";
/// How the page shows it.
pub(super) const REFERENCE: &str =
    "\n![Instructions added to opening a file, against rules and against depth](performance.svg)\n";

/// Managed workloads by their number of rules.
const RULES: [(&str, &str); 4] = [
    ("r1", "1"),
    ("r10", "10"),
    ("r100", "100"),
    ("r1000", "1,000"),
];
const TITLES: [&str; 2] = ["rules, depth 5", "components of the path, 10 rules"];
/// Pixels: a panel's plot, its left edge, and what is above and below it.
const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 260.0;
const LEFTS: [f64; 2] = [70.0, 480.0];
const TOP: f64 = 40.0;
/// Steps of the vertical axis, instructions.
const STEP: f64 = 500.0;

const STYLE: &str = "text{font:13px sans-serif;fill:#333}.axis{stroke:#888;fill:none}\
    .grid{stroke:#ddd}.k0{stroke:#0b62a8;fill:#0b62a8}.k1{stroke:#b3480a;fill:#b3480a}\
    .k2{stroke:#1c7a3c;fill:#1c7a3c}polyline{fill:none!important;stroke-width:2}\
    .unmanaged{stroke-dasharray:5 4}.mark{stroke:none}\
    @media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}\
    .k0{stroke:#6cb6ff;fill:#6cb6ff}.k1{stroke:#f5a26b;fill:#f5a26b}\
    .k2{stroke:#6fd08c;fill:#6fd08c}}";

/// A line: whose, in which panel, and its values at the panel's positions.
struct Line<'a> {
    release: &'a str,
    kernel: usize,
    panel: usize,
    workload: &'static str,
    values: [f64; 4],
}

/// Writes the file.
pub(super) fn write(kernels: &Kernels) -> Result<()> {
    let svg = draw(&lines(kernels)?, kernels);
    fs::write(paths::root().join(FILE), svg).with_context(|| format!("can't write {FILE}"))
}

fn lines(kernels: &Kernels) -> Result<Vec<Line<'_>>> {
    let mut all = Vec::new();
    for (kernel, (release, readings)) in kernels.iter().enumerate() {
        let mut line = |panel, workload, values| {
            all.push(Line {
                release,
                kernel,
                panel,
                workload,
                values,
            });
        };
        let unmanaged = readings.added(UNMANAGED, DEPTH_5)?;
        line(0, "managed", by_rules(readings)?);
        line(0, UNMANAGED, [unmanaged; 4]);
        line(1, "managed", by_depth("r10", readings)?);
        line(1, UNMANAGED, by_depth(UNMANAGED, readings)?);
    }
    Ok(all)
}

fn by_rules(readings: &Readings) -> Result<[f64; 4]> {
    let mut values = [0.0; 4];
    for (value, (label, _)) in values.iter_mut().zip(RULES) {
        *value = readings.added(label, DEPTH_5)?;
    }
    Ok(values)
}

fn by_depth(label: &str, readings: &Readings) -> Result<[f64; 4]> {
    let mut values = [0.0; 4];
    for (value, path) in values.iter_mut().zip(OPENED) {
        *value = readings.added(label, open(path))?;
    }
    Ok(values)
}

/// Where the positions are on the horizontal axis, from 0 to 1: rules by their logarithm.
fn places(panel: usize) -> [f64; 4] {
    if panel == 0 {
        [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0]
    } else {
        DEPTHS.map(|depth| f64::from(depth) / 20.0)
    }
}

fn draw(lines: &[Line], kernels: &Kernels) -> String {
    let values = lines.iter().flat_map(|line| line.values);
    let top = (values.fold(0.0, f64::max) / STEP).ceil() * STEP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 860 400\" role=\"img\">\n\
         <title>Instructions added to opening a file</title>\n<style>{STYLE}</style>\n"
    );
    for panel in 0..LEFTS.len() {
        axes(&mut svg, panel, top);
    }
    for line in lines {
        curve(&mut svg, line, top);
    }
    let mut x = LEFTS[0];
    for (kernel, (release, _)) in kernels.iter().enumerate() {
        mark(&mut svg, kernel, x, 380.0, release);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"384\">{release}</text>", x + 12.0);
        x += 260.0;
    }
    svg.push_str("</svg>\n");
    svg
}

fn axes(svg: &mut String, panel: usize, top: f64) {
    let left = LEFTS[panel];
    let bottom = TOP + HEIGHT;
    let mut value = 0.0;
    while value <= top {
        let y = bottom - value / top * HEIGHT;
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left + WIDTH,
            left - 6.0,
            y + 4.0,
            grouped(value)
        );
        value += STEP;
    }
    let labels = match panel {
        0 => RULES.map(|(_, rules)| rules.to_owned()),
        _ => DEPTHS.map(|depth| depth.to_string()),
    };
    for (place, label) in places(panel).into_iter().zip(labels) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            left + place * WIDTH,
            bottom + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<path class=\"axis\" d=\"M{left} {TOP}V{bottom}H{}\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
         <text x=\"{left}\" y=\"24\">instructions added to open and close</text>",
        left + WIDTH,
        left + WIDTH / 2.0,
        bottom + 40.0,
        TITLES[panel]
    );
}

fn curve(svg: &mut String, line: &Line, top: f64) {
    let places = places(line.panel);
    let points = places.into_iter().zip(line.values).map(|(place, value)| {
        (
            LEFTS[line.panel] + place * WIDTH,
            TOP + HEIGHT - value / top * HEIGHT,
        )
    });
    let path = points
        .clone()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect::<Vec<_>>();
    let _ = writeln!(
        svg,
        "<polyline class=\"k{} {}\" points=\"{}\"/>",
        line.kernel,
        line.workload,
        path.join(" ")
    );
    for ((x, y), value) in points.zip(line.values) {
        let title = format!("{}, {}: {}", line.release, line.workload, grouped(value));
        mark(svg, line.kernel, x, y, &title);
    }
    if line.kernel == 0 {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFTS[line.panel] + WIDTH,
            TOP + HEIGHT - line.values[3] / top * HEIGHT - 14.0,
            line.workload
        );
    }
}

/// A circle, a square or a diamond.
fn mark(svg: &mut String, kernel: usize, x: f64, y: f64, title: &str) {
    let shape = match kernel {
        0 => "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
        1 => "M-4 -4h8v8h-8z",
        _ => "M0 -5L5 0L0 5L-5 0z",
    };
    let _ = writeln!(
        svg,
        "<path class=\"mark k{kernel}\" transform=\"translate({x:.1} {y:.1})\" d=\"{shape}\">\
         <title>{title}</title></path>"
    );
}

#[cfg(test)]
mod tests {
    use super::super::page::PAGE;
    use super::*;

    #[test]
    fn the_figure_shows_what_the_page_says() {
        let page = fs::read_to_string(paths::root().join(PAGE)).unwrap();
        let svg = paths::root().join(FILE);
        assert_eq!(page.contains(REFERENCE.trim()), svg.exists(), "{FILE}");
        let Ok(svg) = fs::read_to_string(svg) else {
            return;
        };
        let titles: Vec<&str> = svg
            .split("<title>")
            .skip(2)
            .filter_map(|rest| rest.split("</title>").next())
            .collect();
        for title in &titles {
            let (release, value) = match title.split_once(", ") {
                Some((release, rest)) => (release, rest.rsplit(": ").next()),
                None => (*title, None),
            };
            let heading = format!("Instructions added to `open` and `close` on {release}:");
            let (_, tables) = page.split_once(&heading).expect(title);
            let tables = tables.split("With nothing attached").next().unwrap();
            assert!(
                value.is_none_or(|value| tables.contains(&format!("| {value} |"))),
                "{title} is not in the page: cargo xtask bench writes both"
            );
        }
        assert!(titles.len() >= 16, "{} marks", titles.len());
    }

    #[test]
    fn lines_are_drawn_where_their_values_are() {
        let line = Line {
            release: "6.12.1",
            kernel: 1,
            panel: 1,
            workload: "managed",
            values: [0.0, 500.0, 1_000.0, 2_000.0],
        };
        let mut svg = String::new();
        curve(&mut svg, &line, 2_000.0);
        assert!(svg.contains("points=\"496.5,300.0 562.5,235.0 645.0,170.0 810.0,40.0\""));
        assert!(svg.contains("<title>6.12.1, managed: 2,000</title>"));
    }
}
