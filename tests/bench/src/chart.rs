//! An SVG of the sweeps in a sheet: a panel per workload and figure, a line per suffix, runs as dots, the bar as a
//! dashed line.

mod panel;
mod scale;

use crate::sheet::{Figure, Sheet};
use panel::Panel;

/// Panels per row.
const COLUMNS: usize = 2;

/// Draws the document; `None` if no figure has two cases on an axis.
pub(crate) fn draw(sheet: &Sheet) -> Option<String> {
    let panels = panels(sheet);
    let (columns, rows) = (COLUMNS.min(panels.len()), panels.len().div_ceil(COLUMNS));
    let (width, height) = (columns as f64 * panel::WIDTH, rows as f64 * panel::HEIGHT);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (case_id, panel) in panels.iter().enumerate() {
        let x = (case_id % COLUMNS) as f64 * panel::WIDTH;
        let y = (case_id / COLUMNS) as f64 * panel::HEIGHT;
        text += &format!("<g transform=\"translate({x} {y})\">\n{}</g>\n", panel.draw());
    }
    text += "</svg>\n";
    (!panels.is_empty()).then_some(text)
}

/// Panels in order of the figures.
fn panels(sheet: &Sheet) -> Vec<Panel<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for figure in sheet.figures.iter().filter(|figure| figure.x.is_some()) {
        let (title, line) = names(figure);
        match panels.iter_mut().find(|panel| panel.title == title) {
            Some(panel) => panel.add(line, figure),
            None => panels.push(Panel::new(title, line, figure)),
        }
    }
    panels.retain(|panel| panel.lines.iter().any(|(_, figures)| figures.len() > 1));
    panels
}

/// Titles of the panel and of the line.
fn names(figure: &Figure) -> (String, String) {
    let (of, line) = figure.name.split_once(": ").unwrap_or((&figure.name, "Minerva"));
    let is_floor = figure.case.ends_with("floor");
    let line = match line {
        "Minerva" if is_floor => "the floor".into(),
        _ if is_floor => format!("{line}, the floor"),
        _ => line.into(),
    };
    (format!("{}: {of}", figure.workload), line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::Case;

    #[test]
    fn only_sweeps_have_a_panel() {
        let mut sheet = Sheet::new();
        for (case, x, value) in [("1", 1.0, 3.0), ("10", 10.0, 5.0)] {
            let case_id = Case { workload: "grow <x>", case, x: Some((x, "edges")) };
            sheet.add(case_id, "CPU: edge", "us", value);
            sheet.add(case_id, "CPU: edge", "us", value + 1.0);
            sheet.add(case_id, "CPU: core", "us", value);
        }
        assert!(draw(&Sheet::new()).is_none());
        let only = Case { workload: "recovery", case: "1 MB", x: Some((1.0, "MB")) };
        sheet.add(only, "served", "s", 1.0);
        sheet.bar("CPU: core", 6.0);
        let drawn = draw(&sheet).unwrap();
        assert_eq!(drawn.matches("<polyline").count(), 2);
        assert_eq!(drawn.matches("<circle").count(), 6);
        assert_eq!(drawn.matches("stroke-dasharray").count(), 1);
        assert!(drawn.contains("grow &lt;x&gt;: CPU") && !drawn.contains("recovery"));
    }
}
