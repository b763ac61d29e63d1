//! Charts as SVG: a small front to `plotters`, so that every chart of Bitesize looks alike.
//!
//! Series differ by colour and by marker, so that a chart can be read without colours too. The same charts give the same
//! bytes on every machine: no font is looked up.

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Display;
use std::ops::Range;

/// How the points of a series are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line through filled markers.
    Solid,
    /// A dashed line without markers.
    Dashed,
    /// Hollow markers alone, large enough to go round those of other series.
    None,
}

/// Points under one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// As the legend has it.
    pub name: String,
    /// In the order in which they are joined; those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// How they are joined.
    pub line: Line,
}

/// One panel.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// Below it.
    pub x_label: String,
    /// Beside it.
    pub y_label: String,
    /// Later ones are drawn over earlier ones.
    pub series: Vec<Series>,
}

/// Panels beside each other at most.
const COLUMNS: usize = 3;
/// Pixels of a panel without its legend.
const PANEL: (usize, usize) = (480, 360);
/// Pixels between the panel's border and what is drawn in it.
const MARGIN: i32 = 12;
const TITLE_PIXELS: i32 = 28;
const LEGEND_LINE: i32 = 20;
/// A name of so many letters leaves no room for another beside it.
const SHORT_NAME: usize = 26;
const FONT: &str = "sans-serif";
const DASH: (i32, i32) = (7, 5);
const GRAY: RGBColor = RGBColor(0x55, 0x55, 0x55);
const GRID: RGBColor = RGBColor(0xE4, 0xE4, 0xE4);
/// Those of Okabe and Ito that stand out on white, which people of any colour vision can tell apart.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x00, 0x00, 0x00),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Pixel = (i32, i32);

/// `charts` side by side, in rows of at most three.
///
/// # Errors
/// What `plotters` says where it cannot draw.
pub fn svg(charts: &[Chart]) -> anyhow::Result<String> {
    let columns = charts.len().clamp(1, COLUMNS);
    let rows = charts.len().div_ceil(columns).max(1);
    let legend = charts.iter().map(|chart| legend_lines(&chart.series)).max().unwrap_or(0);
    let height = PANEL.1 + legend * LEGEND_LINE as usize + MARGIN as usize;
    let mut text = String::new();
    {
        let size = ((columns * PANEL.0) as u32, (rows * height) as u32);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        for (chart, area) in charts.iter().zip(root.split_evenly((rows, columns))) {
            panel(chart, &area)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(text)
}

fn failed(error: impl Display) -> anyhow::Error {
    anyhow!("cannot draw a chart: {error}")
}

fn panel(chart: &Chart, area: &Area) -> anyhow::Result<()> {
    let looks = Look::of_all(&chart.series);
    let series: Vec<_> = looks.iter().zip(&chart.series).map(|(look, series)| (look, finite(&series.points))).collect();
    let points = || series.iter().flat_map(|(_, points)| points);
    let x = range(points().map(|point| point.0));
    let y = range(points().map(|point| point.1));
    let title = style(17.0, &BLACK).pos(Pos::new(HPos::Center, VPos::Top));
    area.draw_text(&chart.title, &title, (PANEL.0 as i32 / 2, MARGIN / 2)).map_err(failed)?;
    let (plot, below) = area.split_vertically(PANEL.1 as i32);
    let frame = axes(chart, &plot, x, y)?;
    for (look, points) in &series {
        let pixels: Vec<Pixel> = points.iter().map(|point| frame.translate(point)).collect();
        look.line(area, &pixels)?;
    }
    // Markers go over all lines.
    for (look, points) in &series {
        for point in points {
            look.marker(area, frame.translate(point))?;
        }
    }
    legend(&chart.series, &below)
}

/// From a chart's numbers to the pixels of its panel.
struct Frame {
    x: Range<f64>,
    y: Range<f64>,
    pixels: (Range<i32>, Range<i32>),
}

impl Frame {
    fn translate(&self, point: &(f64, f64)) -> Pixel {
        let on = |value: f64, range: &Range<f64>, pixels: &Range<i32>| {
            let share = ((value - range.start) / (range.end - range.start)).clamp(0.0, 1.0);
            pixels.start + (share * f64::from(pixels.end - pixels.start)).round() as i32
        };
        (on(point.0, &self.x, &self.pixels.0), on(point.1, &self.y, &self.pixels.1))
    }
}

/// Draws axes, ticks, grid and labels.
fn axes(chart: &Chart, area: &Area, x: Range<f64>, y: Range<f64>) -> anyhow::Result<Frame> {
    let mut context = ChartBuilder::on(area)
        .margin(MARGIN)
        .margin_top(TITLE_PIXELS + MARGIN)
        .x_label_area_size(42)
        .y_label_area_size(62)
        .build_cartesian_2d::<Range<f64>, Range<f64>>(x.clone(), y.clone())
        .map_err(failed)?;
    let (x_decimals, y_decimals) = (decimals(&x), decimals(&y));
    context
        .configure_mesh()
        .x_labels(7)
        .y_labels(7)
        .max_light_lines(0)
        .bold_line_style(GRID)
        .axis_style(GRAY)
        .label_style(style(12.0, &GRAY))
        .axis_desc_style(style(14.0, &BLACK))
        .x_label_formatter(&|value| format!("{value:.x_decimals$}"))
        .y_label_formatter(&|value| format!("{value:.y_decimals$}"))
        .x_desc(&chart.x_label)
        .y_desc(&chart.y_label)
        .draw()
        .map_err(failed)?;
    let plotting: &DrawingArea<_, Cartesian2d<RangedCoordf64, RangedCoordf64>> = context.plotting_area();
    let (across, down) = plotting.get_pixel_range();
    let (left, top) = area.get_base_pixel();
    // The vertical axis points upwards.
    let pixels = (across.start - left..across.end - left, down.end - top..down.start - top);
    Ok(Frame { x, y, pixels })
}

fn style(size: f64, colour: &RGBColor) -> TextStyle<'static> {
    (FONT, size).into_font().color(colour)
}

fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// What an axis shows: the values with a margin, or something round them where they are all the same.
fn range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if low > high {
        return 0.0..1.0;
    }
    // Values far beyond anything that is measured would overflow on the way to pixels.
    let (low, high) = (low.clamp(-1e15, 1e15), high.clamp(-1e15, 1e15));
    let extent = high - low;
    let least = 1e-9 * low.abs().max(high.abs()).max(1e-3);
    let margin = if extent > least { 0.06 * extent } else { (0.1 * low.abs()).max(0.5) };
    low - margin..high + margin
}

/// Decimals that tell the ticks of an axis apart.
fn decimals(range: &Range<f64>) -> usize {
    let step = (range.end - range.start) / 7.0;
    (-step.log10()).ceil().clamp(0.0, 9.0) as usize
}

/// How a series looks.
struct Look {
    colour: RGBColor,
    marker: usize,
    line: Line,
}

impl Look {
    /// Colours repeat where there are more series, and then with other markers. Filled and hollow markers are counted
    /// apart.
    fn of_all(series: &[Series]) -> Vec<Self> {
        let of = |number: usize| {
            let line = series[number].line;
            let before = series[..number].iter().filter(|other| other.line == line).count();
            Self { colour: COLOURS[number % COLOURS.len()], marker: before + before / COLOURS.len(), line }
        };
        (0..series.len()).map(of).collect()
    }

    fn line(&self, area: &Area, points: &[Pixel]) -> anyhow::Result<()> {
        if points.len() < 2 {
            return Ok(());
        }
        let style = self.colour.stroke_width(2);
        match self.line {
            Line::None => Ok(()),
            Line::Solid => area.draw(&PathElement::new(points.to_vec(), style)).map_err(failed),
            Line::Dashed => {
                let (dash, gap) = DASH;
                area.draw(&DashedPathElement::new(points.iter().copied(), dash, gap, style)).map_err(failed)
            }
        }
    }

    fn marker(&self, area: &Area, (x, y): Pixel) -> anyhow::Result<()> {
        let (size, filled) = match self.line {
            Line::Dashed => return Ok(()),
            Line::Solid => (4, true),
            Line::None => (8, false),
        };
        let half = size / 2;
        let corners: &[Pixel] = match self.marker % 7 {
            1 => &[(0, -size - 1), (size + 1, size), (-size - 1, size)],
            2 => &[(-size, -size), (size, -size), (size, size), (-size, size)],
            3 => &[(0, -size - 2), (size + 2, 0), (0, size + 2), (-size - 2, 0)],
            4 => &[(0, size + 1), (size + 1, -size), (-size - 1, -size)],
            5 => &[(-size - 1, -half), (size + 1, -half), (size + 1, half), (-size - 1, half)],
            6 => &[(-half, -size - 1), (half, -size - 1), (half, size + 1), (-half, size + 1)],
            _ => &[],
        };
        let style = if filled { self.colour.filled() } else { self.colour.stroke_width(2) };
        if corners.is_empty() {
            return area.draw(&Circle::new((x, y), size, style)).map_err(failed);
        }
        let corners: Vec<Pixel> = corners.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        match filled {
            true => area.draw(&Polygon::new(corners, style)).map_err(failed),
            false => {
                let first = corners[..2].to_vec();
                let closed: Vec<Pixel> = corners.into_iter().chain(first).collect();
                area.draw(&PathElement::new(closed, style)).map_err(failed)
            }
        }
    }
}

fn legend_columns(series: &[Series]) -> usize {
    let long = series.iter().any(|series| series.name.chars().count() > SHORT_NAME);
    if long { 1 } else { 2 }
}

fn legend_lines(series: &[Series]) -> usize {
    series.len().div_ceil(legend_columns(series))
}

/// The name of each series after a piece of it.
fn legend(series: &[Series], area: &Area) -> anyhow::Result<()> {
    let columns = legend_columns(series);
    let (left, width) = (78, PANEL.0 as i32 - 78);
    let text = style(13.0, &BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    for (number, (look, series)) in Look::of_all(series).iter().zip(series).enumerate() {
        let x = left + (number % columns) as i32 * width / columns as i32;
        let y = LEGEND_LINE / 2 + (number / columns) as i32 * LEGEND_LINE;
        look.line(area, &[(x, y), (x + 32, y)])?;
        look.marker(area, (x + 16, y))?;
        area.draw_text(&series.name, &text, (x + 42, y)).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, line: Line, points: &[(f64, f64)]) -> Series {
        Series { name: name.into(), points: points.to_vec(), line }
    }

    fn chart(series: Vec<Series>) -> Chart {
        Chart { title: "a < b".into(), x_label: "FLASH & code".into(), y_label: "accuracy".into(), series }
    }

    #[test]
    fn names_are_there_and_escaped_and_nothing_is_left_to_chance() {
        let points = [(1.0, 0.5), (2.0, 0.75)];
        let lines = [Line::Solid, Line::Dashed, Line::None];
        let charts: Vec<Chart> =
            (0..5).map(|i| chart(lines.map(|line| series(&format!("s{i} <&"), line, &points)).to_vec())).collect();
        let text = svg(&charts).unwrap();
        assert_eq!(text, svg(&charts).unwrap());
        for part in ["<svg width=\"1440\"", "a &lt; b", "FLASH &amp; code", "accuracy", "s4 &lt;&amp;", "</svg>"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(!text.contains("<&"));
    }

    #[test]
    fn what_cannot_be_drawn_is_left_out() {
        let (nan, infinite) = (f64::NAN, f64::INFINITY);
        let cases: [&[(f64, f64)]; 6] = [
            &[],
            &[(3.0, 0.9)],
            &[(0.0, 0.0), (0.0, 0.0)],
            &[(nan, 1.0), (1.0, infinite), (-infinite, nan)],
            &[(nan, 1.0), (5.0, 0.5), (6.0, nan)],
            &[(-1e300, 1e300), (1e-300, 1.0), (f64::MAX, f64::MIN)],
        ];
        for points in cases {
            for line in [Line::Solid, Line::Dashed, Line::None] {
                let text = svg(&[chart(vec![series("x", line, points)])]).unwrap();
                assert!(!text.contains("NaN") && !text.contains("inf"), "{points:?}");
            }
        }
        assert!(svg(&[]).unwrap().contains("<svg") && svg(&[chart(Vec::new())]).unwrap().contains("a &lt; b"));
    }

    #[test]
    fn axes_have_room_round_the_points() {
        assert_eq!(range([].into_iter()), 0.0..1.0);
        let around = range([10.0, 20.0].into_iter());
        assert!(around.start < 10.0 && around.end > 20.0 && around.end < 21.0);
        let single = range([3.0].into_iter());
        assert!(single.start < 3.0 && single.end > 3.0);
        assert_eq!([decimals(&(0.0..700.0)), decimals(&(0.8..0.9)), decimals(&(0.0..7.0))], [0, 2, 0]);
    }
}
