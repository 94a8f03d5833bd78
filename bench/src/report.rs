//! The figures, as a table or as JSON, one line as soon as it is known.

use std::io::{self, Write as _};

use anyhow::Result;
use serde::Serialize;

use crate::measure::Spread;

/// The place the lines go to.
pub(crate) struct Report {
    format: Format,
    has_begun: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
}

/// One comparison.
pub(crate) struct Line {
    pub(crate) bench: &'static str,
    pub(crate) case: String,
    pub(crate) tasks: usize,
    /// The unit of `ours` and `baseline`.
    pub(crate) unit: Unit,
    pub(crate) ours: f64,
    pub(crate) baseline: Option<f64>,
    pub(crate) ratio: Option<Spread>,
    /// The share of checkouts that needed no switch.
    pub(crate) hit: Option<f64>,
    /// Round trips per statement, ours.
    pub(crate) round_trips: Option<f64>,
    pub(crate) target: Option<Target>,
    /// The baseline, in words.
    pub(crate) against: String,
}

impl Line {
    /// Steps per second of ours and of the baseline in each round, as a ratio.
    pub(crate) fn of_rates(
        (bench, case): (&'static str, &str),
        tasks: usize,
        rounds: &[[f64; 2]],
        target: impl Into<Option<Target>>,
        against: &str,
    ) -> Self {
        let side = |side: usize| Spread::of(rounds.iter().map(move |round| round[side])).median;
        Self {
            bench,
            case: case.to_owned(),
            tasks,
            unit: Unit::PerSecond,
            ours: side(0),
            baseline: Some(side(1)),
            ratio: Some(Spread::of(rounds.iter().map(|[ours, baseline]| ours / baseline))),
            hit: None,
            round_trips: None,
            target: target.into(),
            against: against.to_owned(),
        }
    }

    /// Milliseconds of one task at a time, as a ratio that has an upper bound.
    pub(crate) fn of_times(
        (bench, case): (&'static str, &str),
        ours: f64,
        ratio: Spread,
        most: f64,
        against: &str,
    ) -> Self {
        Self {
            bench,
            case: case.to_owned(),
            tasks: 1,
            unit: Unit::Milliseconds,
            ours,
            baseline: Some(ours / ratio.median),
            ratio: Some(ratio),
            hit: None,
            round_trips: None,
            target: Some(Target::RatioAtMost(most)),
            against: against.to_owned(),
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Unit {
    PerSecond,
    Milliseconds,
    Microseconds,
    Nanoseconds,
    Mebibytes,
}

/// The target of the figure.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    RatioAtLeast(f64),
    RatioAtMost(f64),
    OursAtMost(f64),
}

#[derive(Serialize)]
struct JsonLine<'a> {
    bench: &'a str,
    case: &'a str,
    ours: f64,
    baseline: Option<f64>,
    ratio: Option<f64>,
    hit: Option<f64>,
    round_trips: Option<f64>,
    tasks: usize,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { format: if json { Format::Json } else { Format::Table }, has_begun: false }
    }

    pub(crate) fn add(&mut self, line: &Line) -> Result<()> {
        let mut out = io::stdout().lock();
        match self.format {
            Format::Json => writeln!(out, "{}", serde_json::to_string(&line.json())?)?,
            Format::Table => {
                if !self.has_begun {
                    writeln!(out, "{HEAD}")?;
                }
                writeln!(out, "{}", line.row())?;
            }
        }
        self.has_begun = true;
        Ok(out.flush()?)
    }
}

const HEAD: &str = "case                tasks        ours    baseline  unit   ratio (low – high)   \
                    target          hit   trips  baseline is";

impl Line {
    fn json(&self) -> JsonLine<'_> {
        JsonLine {
            bench: self.bench,
            case: &self.case,
            ours: rounded(self.ours),
            baseline: self.baseline.map(rounded),
            ratio: self.ratio.map(|ratio| rounded(ratio.median)),
            hit: self.hit.map(rounded),
            round_trips: self.round_trips.map(rounded),
            tasks: self.tasks,
        }
    }

    fn row(&self) -> String {
        let case = format!("{}/{}", self.bench, self.case);
        let digits = if self.ours < 100.0 { 2 } else { 0 };
        let ours = format!("{:.digits$}", self.ours);
        let baseline = shown(self.baseline, |baseline| format!("{baseline:.digits$}"));
        let ratio = shown(self.ratio, |ratio| {
            format!("{:.2} ({:.2} – {:.2})", ratio.median, ratio.lowest, ratio.highest)
        });
        let hit = shown(self.hit, |hit| format!("{:.1} %", hit * 100.0));
        let trips = shown(self.round_trips, |trips| format!("{trips:.2}"));
        let (unit, target, against) = (self.unit.name(), self.judged(), &self.against);
        format!(
            "{case:19} {:5} {ours:>11} {baseline:>11}  {unit:5}  {ratio:20} {target:13} {hit:>7} {trips:>6}  {against}",
            self.tasks
        )
    }

    fn judged(&self) -> String {
        let Some(target) = self.target else { return "-".to_owned() };
        let ratio = self.ratio.map_or(f64::NAN, |ratio| ratio.median);
        let (sign, limit, is_met) = match target {
            Target::RatioAtLeast(limit) => ('≥', limit, ratio >= limit),
            Target::RatioAtMost(limit) => ('≤', limit, ratio <= limit),
            Target::OursAtMost(limit) => ('≤', limit, self.ours <= limit),
        };
        format!("{sign} {} {}", rounded(limit), if is_met { "met" } else { "MISSED" })
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "1/s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Nanoseconds => "ns",
            Self::Mebibytes => "MiB",
        }
    }
}

fn shown<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// More digits than these are noise.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
