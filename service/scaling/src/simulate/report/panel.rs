//! One plot: lines over time in one unit, as SVG.

use std::fmt::Write;

use super::axis::{clock, number, ticks, times};
use super::escape::escape;
use crate::simulate::Step;

/// The size of a plot and of what stands around it, in the SVG's own units.
const WIDTH: f64 = 900.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 22.0;

/// One plot.
#[derive(Debug, Clone)]
pub(super) struct Panel<'a> {
    /// What it shows, with its unit.
    pub(super) title: &'a str,
    /// Of the area between the axes.
    pub(super) height: f64,
    /// In seconds.
    pub(super) length: f64,
    /// The highest value that is shown for certain; what is beyond the next tick is cut off.
    pub(super) end: f64,
    pub(super) lines: Vec<Line<'a>>,
    /// Changes of the count, marked with what they did.
    pub(super) steps: &'a [Step],
    /// Whether the time is written below.
    pub(super) times: bool,
}

/// One line of a plot.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    /// What it is called, and the class of its colour.
    pub(super) name: &'a str,
    pub(super) class: &'a str,
    /// Whether the area under it is filled.
    pub(super) filled: bool,
    /// Whether it goes in steps rather than from point to point.
    pub(super) stepped: bool,
    /// Times and values.
    pub(super) points: Vec<(f64, f64)>,
}

impl Line<'_> {
    /// Without its area.
    pub(super) fn thin(self) -> Self {
        Self { filled: false, ..self }
    }

    /// Level from each point to the next.
    pub(super) fn stepped(self) -> Self {
        Self { stepped: true, ..self }
    }
}

impl Panel<'_> {
    /// The plot.
    pub(super) fn svg(&self) -> String {
        let top = self.top();
        let bottom = if self.times { BOTTOM } else { 6.0 };
        let full = TOP + self.height + bottom;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {full}\" role=\"img\" aria-label=\"{}\">",
            escape(self.title)
        );
        self.grid(&mut svg, top);
        self.legend(&mut svg);
        self.lines.iter().for_each(|line| self.line(&mut svg, line, top));
        self.marks(&mut svg);
        self.hovers(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    /// The upper end of the vertical axis: its last tick.
    fn top(&self) -> f64 {
        ticks(self.end).last().copied().unwrap_or(1.0)
    }

    fn x(&self, at: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * at / self.length.max(1.0)
    }

    fn y(&self, value: f64, top: f64) -> f64 {
        TOP + self.height * (1.0 - (value / top).min(1.0))
    }

    fn grid(&self, svg: &mut String, top: f64) {
        for tick in ticks(top) {
            let (y, right) = (self.y(tick, top), WIDTH - RIGHT);
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                y + 3.5,
                number(tick)
            );
        }
        let ground = TOP + self.height;
        for time in times(self.length) {
            let x = self.x(time);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{ground:.1}\"/>");
            if self.times {
                let anchor = if x > WIDTH - 30.0 { "end" } else { "middle" };
                let _ = write!(
                    svg,
                    "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                    ground + 15.0,
                    clock(time)
                );
            }
        }
    }

    /// The title, then what each mark and line is. It is one text, whose parts follow one another however wide the
    /// reader's font is.
    fn legend(&self, svg: &mut String) {
        let title = escape(self.title);
        let _ =
            write!(svg, "<text class=\"tick\" x=\"{LEFT}\" y=\"14\"><tspan class=\"title\">{title}</tspan>");
        if !self.steps.is_empty() {
            entry(svg, "mark up", "▲", "count raised");
            entry(svg, "mark down", "▼", "count lowered");
        }
        for line in &self.lines {
            entry(svg, &format!("key {}", line.class), "━━", line.name);
        }
        svg.push_str("</text>");
    }

    fn line(&self, svg: &mut String, line: &Line<'_>, top: f64) {
        let mut path = String::new();
        let mut last = None;
        for &(at, value) in &line.points {
            let (x, y) = (self.x(at), self.y(value, top));
            let _ = match (last, line.stepped) {
                (None, _) => write!(path, "M{x:.1} {y:.1}"),
                (Some(_), true) => write!(path, "H{x:.1}V{y:.1}"),
                (Some(_), false) => write!(path, "L{x:.1} {y:.1}"),
            };
            last = Some(x);
        }
        let class = escape(line.class);
        if let (true, Some(x), Some(first)) = (line.filled, last, line.points.first()) {
            let ground = TOP + self.height;
            let start = self.x(first.0);
            let _ = write!(svg, "<path class=\"area {class}\" d=\"{path}L{x:.1} {ground:.1}H{start:.1}Z\"/>");
        }
        let _ = write!(svg, "<path class=\"line {class}\" d=\"{path}\"/>");
    }

    /// A triangle at each change of the count, up or down.
    fn marks(&self, svg: &mut String) {
        let ground = TOP + self.height;
        for step in self.steps {
            let x = self.x(step.second as f64);
            let (class, shape) = if step.to > step.from {
                ("up", format!("M{x:.1} {:.1}l4 7h-8z", ground - 8.0))
            } else {
                ("down", format!("M{x:.1} {:.1}l4 -7h-8z", ground - 1.0))
            };
            let _ = write!(
                svg,
                "<path class=\"mark {class}\" d=\"{shape}\"><title>{}: {} → {}</title></path>",
                clock(step.second as f64),
                step.from,
                step.to
            );
        }
    }

    /// Where the pointer is, all values of that time. A hundred places are enough to read a plot.
    fn hovers(&self, svg: &mut String) {
        let Some(first) = self.lines.first() else { return };
        let points = first.points.len();
        let each = points.div_ceil(100).max(1);
        let width = (WIDTH - LEFT - RIGHT) * each as f64 / points.max(1) as f64;
        for at in (0..points).step_by(each) {
            let mut words = clock(first.points[at].0);
            for line in &self.lines {
                let window = line.points.iter().skip(at).take(each).map(|(_, value)| *value);
                let _ = write!(words, "\n{}: {}", line.name, number(window.fold(0.0, f64::max)));
            }
            let ground = if self.steps.is_empty() { self.height } else { self.height - 9.0 };
            let _ = write!(
                svg,
                "<rect class=\"hover\" x=\"{:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{ground:.1}\">\
                 <title>{}</title></rect>",
                self.x(first.points[at].0) - width / each as f64 / 2.0,
                escape(&words)
            );
        }
    }
}

/// One entry of a legend: its sign, then its name.
fn entry(svg: &mut String, class: &str, sign: &str, name: &str) {
    let _ = write!(
        svg,
        "<tspan class=\"{}\" dx=\"18\">{sign}</tspan><tspan dx=\"5\">{}</tspan>",
        escape(class),
        escape(name)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn legend(steps: &[Step]) -> String {
        let points = vec![(0.0, 1.0)];
        let line = Line { name: "a <b>", class: "count", filled: false, stepped: true, points };
        let (title, lines) = ("Instances", vec![line]);
        let panel = Panel { title, height: 90.0, length: 60.0, end: 4.0, lines, steps, times: false };
        let mut svg = String::new();
        panel.legend(&mut svg);
        svg
    }

    #[test]
    fn marks_are_explained_where_there_are_any() {
        let signs = |steps| {
            let legend = legend(steps);
            ["▲", "count raised", "▼", "count lowered", "a &lt;b&gt;"].map(|part| legend.contains(part))
        };
        assert_eq!(signs(&[]), [false, false, false, false, true]);
        assert_eq!(signs(&[Step { second: 3, from: 1, to: 2 }]), [true; 5]);
    }
}
