//! One panel: axes, lines, dots and a legend.

use std::fmt::Write as _;

use super::scale::{Scale, round_up};
use crate::sheet::{Figure, number};

/// Size of a panel with margins.
pub(super) const WIDTH: f64 = 460.0;
pub(super) const HEIGHT: f64 = 300.0;
/// Bounds of the plot: left, right, top, bottom.
const PLOT: [f64; 4] = [60.0, 320.0, 40.0, 260.0];
/// The colour-blind safe palette of Okabe and Ito, without black and yellow.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];
/// Relative heights of the grid lines.
const GRID: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// The figures of one quantity.
pub(super) struct Panel<'a> {
    pub(super) title: String,
    unit: &'a str,
    /// Lines by name.
    pub(super) lines: Vec<(String, Vec<&'a Figure>)>,
}

impl<'a> Panel<'a> {
    /// Creates a panel with its first point.
    pub(super) fn new(title: String, line: String, figure: &'a Figure) -> Self {
        Self { title, unit: &figure.unit, lines: vec![(line, vec![figure])] }
    }

    /// Adds a point.
    pub(super) fn add(&mut self, line: String, figure: &'a Figure) {
        match self.lines.iter_mut().find(|(name, _)| *name == line) {
            Some((_, figures)) => figures.push(figure),
            None => self.lines.push((line, vec![figure])),
        }
    }

    pub(super) fn draw(&self) -> String {
        let [left, right, top, bottom] = PLOT;
        let places: Vec<f64> = self.figures().filter_map(Figure::at).collect();
        let [least, most] =
            [f64::min, f64::max].map(|f| places.iter().copied().reduce(f).unwrap_or(1.0));
        let values = self.figures().flat_map(|figure| figure.runs.iter().chain(&figure.at_most));
        let highest = round_up(values.copied().fold(0.0, f64::max));
        let (x, y) = (
            Scale::logarithmic([least, most], [left, right]),
            Scale::linear(highest, [bottom, top]),
        );
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let title = escaped(&self.title);
        let _ = writeln!(text, "<text x=\"{left}\" y=\"20\" font-size=\"13\">{title}</text>");
        self.draw_axes(&mut text, x, y, highest);
        for (number, (name, figures)) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            draw_line(&mut text, figures, colour, x, y);
            draw_bar(&mut text, figures, colour, y);
            let (name, at) = (escaped(name), top + 16.0 * number as f64);
            let _ = writeln!(
                text,
                "<text x=\"{}\" y=\"{at}\" fill=\"{colour}\">{name}</text>",
                right + 12.0
            );
        }
        text
    }

    fn draw_axes(&self, text: &mut String, x: Scale, y: Scale, highest: f64) {
        let [left, right, _, bottom] = PLOT;
        for part in GRID {
            let (at, value) = (y.at(highest * part), number_of(highest * part));
            let unit = if part == 1.0 { escaped(self.unit) } else { String::new() };
            let _ = writeln!(
                text,
                "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value} {unit}</text>",
                left - 4.0,
                at + 4.0
            );
        }
        if let Some((_, of)) = self.figures().find_map(|figure| figure.x.as_ref()) {
            let (middle, below, of) = (f64::midpoint(left, right), bottom + 34.0, escaped(of));
            let _ = writeln!(
                text,
                "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{of}</text>"
            );
        }
        let mut marked: Vec<f64> = Vec::new();
        for case_id in self.figures().filter_map(Figure::at) {
            if !marked.contains(&case_id) {
                marked.push(case_id);
                let (at, value) = (x.at(case_id), number_of(case_id));
                let below = bottom + 18.0;
                let _ = writeln!(
                    text,
                    "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{value}</text>"
                );
            }
        }
    }

    fn figures(&self) -> impl Iterator<Item = &'a Figure> {
        self.lines.iter().flat_map(|(_, figures)| figures.iter().copied())
    }
}

/// Draws a line through the medians, with a dot for each run.
fn draw_line(text: &mut String, figures: &[&Figure], colour: &str, x: Scale, y: Scale) {
    let mut points = String::new();
    for figure in figures {
        let at = x.at(figure.at().unwrap_or(1.0));
        let _ = write!(points, "{at:.1},{:.1} ", y.at(figure.value));
        for run in &figure.runs {
            let _ = writeln!(
                text,
                "<circle cx=\"{at:.1}\" cy=\"{:.1}\" r=\"2\" fill=\"{colour}\"/>",
                y.at(*run)
            );
        }
    }
    let _ = writeln!(
        text,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>",
        points.trim_end()
    );
}

/// Draws the bar across the plot, if the figures have one.
fn draw_bar(text: &mut String, figures: &[&Figure], colour: &str, y: Scale) {
    let Some(bar) = figures.iter().find_map(|figure| figure.at_most) else { return };
    let ([left, right, _, _], at, bar) = (PLOT, y.at(bar), number_of(bar));
    let _ = writeln!(
        text,
        "<path d=\"M{left} {at:.1}H{right}\" stroke=\"{colour}\" stroke-dasharray=\"5 4\"/>\
         <text x=\"{}\" y=\"{:.1}\" fill=\"{colour}\">bar {bar}</text>",
        right + 4.0,
        at + 4.0
    );
}

/// Formats a value, integers without a decimal point.
fn number_of(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { number(value) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
