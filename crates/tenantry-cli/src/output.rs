//! Data on stdout, as a table or as JSON; everything else on stderr.
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::failure::{Failure, Report};
use crate::interrupt::while_typed;
use crate::visible::visible;

/// The format that data is printed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// The place that a command prints to.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    stdout: BufWriter<Stdout>,
    is_closed: bool,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, stdout: BufWriter::new(io::stdout()), is_closed: false }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Returns true if nobody reads any more, as after `| head`. Then writing does nothing.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Returns true if people read the data as it comes.
    pub(crate) fn is_terminal(&self) -> bool {
        self.stdout.get_ref().is_terminal()
    }

    /// Prints data as it is.
    pub(crate) fn text(&mut self, text: &str) {
        self.is_closed = self.is_closed || self.stdout.write_all(text.as_bytes()).is_err();
    }

    /// Prints a line of data.
    pub(crate) fn line(&mut self, text: &str) {
        self.text(text);
        self.text("\n");
    }

    /// Prints a whole JSON document.
    pub(crate) fn json(&mut self, value: &impl Serialize) {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        self.line(&text);
    }

    /// Prints rows under a header.
    pub(crate) fn table(&mut self, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
        self.rows(Some(header), &[], rows);
    }

    /// Prints rows, of which some columns hold numbers. Without a header they go on below other rows.
    pub(crate) fn rows(
        &mut self,
        header: Option<&[&str]>,
        numbers: &[usize],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if let Some(header) = header {
            table.set_header(header.iter().map(|name| visible(name)));
        }
        for row in rows {
            table.add_row(row.iter().map(|cell| visible(cell)));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for index in numbers {
            if let Some(column) = table.column_mut(*index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        if table.row_count() > 0 || header.is_some() {
            for line in table.lines() {
                self.line(line.trim_end());
            }
        }
    }

    /// Prints the facts about one thing, one a line.
    pub(crate) fn facts(&mut self, facts: &[(&str, String)]) {
        self.rows(None, &[], facts.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]));
    }

    /// Hands over what is buffered.
    pub(crate) fn flush(&mut self) {
        self.is_closed = self.is_closed || self.stdout.flush().is_err();
    }

    /// Reports an error on stderr, below the data printed so far.
    pub(crate) fn failure(&mut self, error: &anyhow::Error) {
        self.flush();
        print_report(self.format, &Report::of(error.as_ref()));
    }
}

/// Reports an error on stderr: lines for people, an object on one line for programs.
pub(crate) fn print_report(format: Format, report: &Report) {
    match format {
        Format::Table => tell(&report.to_text()),
        Format::Json => tell(&(serde_json::to_string(report).unwrap_or_default() + "\n")),
    }
}

/// Set where people want to be told of errors only.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Tells people of nothing but errors from now on.
pub(crate) fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Tells a person something that is not data. Programs read nothing but errors on stderr.
pub(crate) fn note(format: Format, text: &str) {
    if format == Format::Table && !is_quiet() {
        tell(&format!("{}\n", visible(text)));
    }
}

/// Tells something on stderr, as it is.
pub(crate) fn tell(text: &str) {
    // Where stderr is gone there is nobody to tell.
    let _ = anstream::stderr().write_all(text.as_bytes());
}

/// Asks before something is destroyed. Where nobody can answer, `--yes` must have been given.
pub(crate) fn confirm(action: &str, is_sure: bool) -> anyhow::Result<bool> {
    if is_sure {
        return Ok(true);
    }
    refuse_without_terminal(action)?;
    let answer = ask(&format!("{}? [y/N] ", visible(action)))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Asks for a word that nobody types by mistake, before something is destroyed that people would miss.
pub(crate) fn confirm_by_typing(action: &str, word: &str, is_sure: bool) -> anyhow::Result<bool> {
    if is_sure {
        return Ok(true);
    }
    refuse_without_terminal(action)?;
    Ok(ask(&format!("{}: type `{word}` to confirm: ", visible(action)))?.trim() == word)
}

fn ask(question: &str) -> anyhow::Result<String> {
    tell(question);
    let mut answer = String::new();
    while_typed(|| io::stdin().read_line(&mut answer))?;
    Ok(answer)
}

fn refuse_without_terminal(action: &str) -> anyhow::Result<()> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        return Ok(());
    }
    let refused = Failure::usage(format!("nobody is there to confirm: {action}"));
    Err(refused.with_hint("add `--yes`").into())
}
