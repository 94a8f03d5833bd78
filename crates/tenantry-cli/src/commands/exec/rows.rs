//! Rows of any shape, printed as they come.
use serde_json::json;
use tenantry::tenant::Tenant;

use super::answer::{Piece, Pieces};
use crate::failure::Report;
use crate::output::{Format, Output, note};

/// Rows a table is aligned over, and how large they may be together; what follows is aligned anew, so that
/// memory has a limit.
const BLOCK: usize = 500;
const BLOCK_BYTES: usize = 1024 * 1024;
const NULL: &str = "NULL";

/// Prints the results of statements, in one schema or in many.
pub(super) struct Rows<'a> {
    output: &'a mut Output,
    /// Many schemas share one table, with the tenant as first column.
    is_fleet: bool,
    tenant: Option<String>,
    columns: Vec<String>,
    /// The part of a table that is not printed yet.
    block: Vec<Vec<String>>,
    block_bytes: usize,
    is_header_due: bool,
    /// Rows of the statement that runs.
    of_statement: usize,
    /// Rows and results of everything.
    printed: usize,
    results: usize,
}

impl<'a> Rows<'a> {
    /// Results of one schema: a table and a count for each statement.
    pub(super) fn of_one(output: &'a mut Output) -> Self {
        Self::new(output, false)
    }

    /// Results of many schemas, told apart by the tenant.
    pub(super) fn of_all(output: &'a mut Output) -> Self {
        Self::new(output, true)
    }

    fn new(output: &'a mut Output, is_fleet: bool) -> Self {
        Self {
            output,
            is_fleet,
            tenant: None,
            columns: Vec::new(),
            block: Vec::new(),
            block_bytes: 0,
            is_header_due: true,
            of_statement: 0,
            printed: 0,
            results: 0,
        }
    }

    /// Prints what one schema answers, and tells why that ended, if it failed. Where nobody reads and no other
    /// schema waits, the rest is left.
    pub(super) async fn print(&mut self, tenant: Option<&Tenant>, mut pieces: Pieces) -> Option<Report> {
        self.tenant = tenant.map(|tenant| tenant.slug().to_string());
        let mut failure = None;
        while let Some(page) = pieces.recv().await {
            for piece in page {
                match piece {
                    Piece::Columns(columns) => self.begin_rows(columns),
                    Piece::Row(cells) => self.push(cells),
                    Piece::Done(affected) => self.end_statement(affected),
                    Piece::Failure(report) => failure = Some(report),
                }
            }
            if self.output.is_closed() && !self.is_fleet {
                break;
            }
        }
        self.end_schema(failure.as_ref());
        failure
    }

    fn begin_rows(&mut self, columns: Vec<String>) {
        let columns = match self.output.format() {
            Format::Json => distinct(&columns),
            Format::Table => columns,
        };
        if columns != self.columns {
            self.print_block();
            self.columns = columns;
            self.is_header_due = true;
        }
    }

    fn push(&mut self, cells: Vec<Option<String>>) {
        match self.output.format() {
            Format::Json => self.push_json(&cells),
            Format::Table => self.push_table(cells),
        }
        self.of_statement += 1;
        self.printed += 1;
    }

    fn end_statement(&mut self, affected: u64) {
        match self.output.format() {
            Format::Json => self.close_result(&json!({ "affected": affected })),
            Format::Table if !self.is_fleet => {
                self.print_block();
                self.is_header_due = true;
                self.output.flush();
                note(Format::Table, &count(self.of_statement, affected));
            }
            Format::Table => {}
        }
        self.of_statement = 0;
    }

    fn end_schema(&mut self, failure: Option<&Report>) {
        if self.output.format() == Format::Json {
            match failure {
                Some(report) => self.close_result(&json!({ "error": report })),
                None if self.of_statement > 0 => self.close_result(&json!({})),
                None => {}
            }
        }
        if failure.is_some() {
            // So that the report stands below the rows that came before it.
            self.print_block();
            self.output.flush();
        }
        self.of_statement = 0;
    }

    /// Prints the rest; answers how many rows there were.
    pub(super) fn finish(mut self) -> usize {
        self.print_block();
        if self.output.format() == Format::Json {
            self.output.line(if self.results == 0 { "[]" } else { "\n]" });
        }
        self.output.flush();
        self.printed
    }

    fn push_table(&mut self, cells: Vec<Option<String>>) {
        let mut row: Vec<_> = cells.into_iter().map(|cell| cell.unwrap_or_else(|| NULL.to_owned())).collect();
        if self.is_fleet {
            row.insert(0, self.tenant.clone().unwrap_or_default());
        }
        self.block_bytes += row.iter().map(String::len).sum::<usize>();
        self.block.push(row);
        if self.block.len() >= BLOCK || self.block_bytes >= BLOCK_BYTES {
            self.print_block();
        }
    }

    fn print_block(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.block_bytes = 0;
        if block.is_empty() {
            return;
        }
        let tenant = self.is_fleet.then_some("tenant");
        let header: Vec<_> = tenant.into_iter().chain(self.columns.iter().map(String::as_str)).collect();
        if self.is_header_due && self.printed > self.of_statement.max(block.len()) {
            self.output.line("");
        }
        self.output.rows(self.is_header_due.then_some(&header), &[], block);
        self.is_header_due = false;
    }

    /// One row as an object, in the list of the result it belongs to.
    fn push_json(&mut self, cells: &[Option<String>]) {
        if self.of_statement == 0 {
            self.open_result();
        } else {
            self.output.text(", ");
        }
        let fields =
            self.columns.iter().zip(cells).map(|(name, cell)| format!("{}: {}", json!(name), json!(cell)));
        let object = fields.collect::<Vec<_>>().join(", ");
        self.output.text(&format!("{{{object}}}"));
    }

    fn open_result(&mut self) {
        self.output.text(if self.results == 0 { "[\n  {" } else { ",\n  {" });
        if let Some(tenant) = &self.tenant {
            self.output.text(&format!("\"tenant\": {}, ", json!(tenant)));
        }
        self.output.text("\"rows\": [");
        self.results += 1;
    }

    /// Ends the list of rows and adds what is known at the end.
    fn close_result(&mut self, more: &serde_json::Value) {
        if self.of_statement == 0 {
            self.open_result();
        }
        self.output.text("]");
        for (name, value) in more.as_object().into_iter().flatten() {
            self.output.text(&format!(", {}: {value}", json!(name)));
        }
        self.output.text("}");
        self.of_statement = 0;
    }
}

/// The result of a statement: the rows it answered with, or else those it changed.
fn count(rows: usize, affected: u64) -> String {
    match (rows, affected) {
        (0, 0) => "0 rows".to_owned(),
        (0, 1) => "1 row changed".to_owned(),
        (0, affected) => format!("{affected} rows changed"),
        (1, _) => "1 row".to_owned(),
        (rows, _) => format!("{rows} rows"),
    }
}

/// A statement may give two columns one name, an object may not.
fn distinct(columns: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(columns.len());
    for column in columns {
        let others = (2..).map(|number| format!("{column}_{number}"));
        let mut candidates = std::iter::once(column.clone()).chain(others);
        names.extend(candidates.find(|name| !names.contains(name)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_one_name_become_distinct() {
        let columns = ["id", "id", "id_2", "title"].map(str::to_owned);
        assert_eq!(distinct(&columns), ["id", "id_2", "id_2_2", "title"]);
    }

    #[test]
    fn counts_are_sentences() {
        assert_eq!(count(0, 0), "0 rows");
        assert_eq!(count(1, 1), "1 row");
        assert_eq!(count(0, 3), "3 rows changed");
    }
}
