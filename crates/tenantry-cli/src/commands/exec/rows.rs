//! Rows of any shape, printed as they come.
use std::collections::HashSet;

use serde_json::json;
use tenantry::tenant::Tenant;

use super::answer::{Column, Piece, Pieces};
use super::counts::{counted, which_return_changes};
use crate::causes::Causes;
use crate::failure::Report;
use crate::interrupt::interrupted;
use crate::notices::Notice;
use crate::output::{Format, Output, note};
use crate::progress::Progress;

/// Rows a table is aligned over, and how large they may be together; what follows is aligned anew, so that
/// memory has a limit.
const BLOCK: usize = 500;
const BLOCK_BYTES: usize = 1024 * 1024;
const NULL: &str = "NULL";
/// Different messages of the server to one tenant that are remembered.
const NOTICES: usize = 100;

/// Prints the results of statements, in one schema or in many.
pub(super) struct Rows<'a> {
    output: &'a mut Output,
    /// The line that is not to be torn by rows on the same terminal.
    progress: Option<&'a Progress>,
    /// Many schemas share one table, with the tenant as first column.
    is_fleet: bool,
    tenant: Option<String>,
    columns: Vec<Column>,
    /// The part of a table that is not printed yet.
    block: Vec<Vec<String>>,
    block_bytes: usize,
    is_header_due: bool,
    /// Rows of the statement that runs.
    of_statement: usize,
    /// Rows and results of everything.
    printed: usize,
    results: usize,
    /// Rows that were changed, of everything.
    changed: u64,
    /// For each statement, true if the rows that it answers are those that it changed.
    returns_changes: Vec<bool>,
    /// The statement whose turn it is.
    statement: usize,
    notices: Notices,
}

/// Messages of the server beside its answers.
#[derive(Default)]
struct Notices {
    /// Messages to the statement that runs, for JSON.
    of_statement: Vec<Notice>,
    /// Messages to the tenant whose turn it is.
    of_tenant: HashSet<String>,
    /// The tenants of each.
    told: Causes,
}

impl<'a> Rows<'a> {
    /// Results of one schema: a table and a count for each statement.
    pub(super) fn of_one(output: &'a mut Output, sql: &str) -> Self {
        Self::new(output, sql, None)
    }

    /// Results of many schemas, told apart by the tenant.
    pub(super) fn of_all(output: &'a mut Output, sql: &str, progress: &'a Progress) -> Self {
        Self::new(output, sql, Some(progress))
    }

    fn new(output: &'a mut Output, sql: &str, progress: Option<&'a Progress>) -> Self {
        Self {
            output,
            progress,
            is_fleet: progress.is_some(),
            tenant: None,
            columns: Vec::new(),
            block: Vec::new(),
            block_bytes: 0,
            is_header_due: true,
            of_statement: 0,
            printed: 0,
            results: 0,
            changed: 0,
            returns_changes: which_return_changes(sql),
            statement: 0,
            notices: Notices::default(),
        }
    }

    /// Prints what one schema answers, and tells why that ended, if it failed. Where nobody reads and no other
    /// schema waits, the rest is left.
    pub(super) async fn print(&mut self, tenant: Option<&Tenant>, mut pieces: Pieces) -> Option<Report> {
        self.tenant = tenant.map(|tenant| tenant.slug().to_string());
        self.notices.of_tenant.clear();
        self.statement = 0;
        let mut end = None;
        while let Some(page) = pieces.recv().await {
            for piece in page {
                match piece {
                    Piece::Columns(columns) => self.begin_rows(columns),
                    Piece::Row(cells) => self.push(cells),
                    Piece::Notice(notice) => self.tell(notice),
                    Piece::Done(affected) => self.end_statement(affected),
                    Piece::End(failure) => end = Some(failure),
                }
            }
            if self.output.is_closed() && !self.is_fleet {
                end = Some(None);
                break;
            }
        }
        let failure = end.unwrap_or_else(|| {
            let report = Report::of(&interrupted());
            Some(match tenant {
                Some(tenant) => report.of_tenant(tenant),
                None => report,
            })
        });
        self.end_schema(failure.as_ref());
        failure
    }

    /// Tells what the server said: of all tenants to whom it says the same, the first is named.
    fn tell(&mut self, notice: Notice) {
        if self.output.format() == Format::Json {
            self.notices.of_statement.push(notice);
            return;
        }
        let text = notice.to_string();
        let Some(tenant) = self.tenant.as_deref().filter(|_| self.is_fleet) else {
            return note(Format::Table, &text);
        };
        let is_new = self.notices.of_tenant.len() < NOTICES && self.notices.of_tenant.insert(text.clone());
        if is_new && self.notices.told.add_text(&text, tenant) {
            note(Format::Table, &format!("{text} (tenant `{tenant}`)"));
        }
    }

    fn begin_rows(&mut self, mut columns: Vec<Column>) {
        if self.output.format() == Format::Json {
            distinguish(&mut columns);
        }
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
        let returns_changes = self.returns_changes.get(self.statement).copied().unwrap_or_default();
        let is_change = self.of_statement == 0 || returns_changes;
        self.statement += 1;
        let changed = if is_change { affected } else { 0 };
        self.changed += changed;
        match self.output.format() {
            Format::Json => self.close_result(&json!({ "affected": affected })),
            Format::Table if !self.is_fleet => {
                self.print_block();
                self.is_header_due = true;
                self.output.flush();
                note(Format::Table, &counted(self.of_statement, changed));
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

    /// Returns true if rows were printed where people read.
    pub(super) fn are_on_terminal(&self) -> bool {
        self.printed > 0 && self.output.is_terminal()
    }

    /// Prints the rest; answers how many rows there were, and how many were changed.
    pub(super) fn finish(mut self) -> (usize, u64) {
        self.print_block();
        if self.output.format() == Format::Json {
            self.output.line(if self.results == 0 { "[]" } else { "\n]" });
        }
        self.output.flush();
        self.notices.told.finish_with(self.output.format(), "were told the same as");
        (self.printed, self.changed)
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
        if let Some(progress) = self.progress.filter(|_| self.output.is_terminal()) {
            progress.finish();
        }
        let tenant = self.is_fleet.then_some("tenant");
        let header: Vec<_> =
            tenant.into_iter().chain(self.columns.iter().map(|column| column.name.as_str())).collect();
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
        let field = |(column, cell): (&Column, &Option<String>)| {
            format!("{}: {}", json!(column.name), column.kind.to_json(cell.as_deref()))
        };
        let fields = self.columns.iter().zip(cells).map(field);
        let object = fields.collect::<Vec<_>>().join(", ");
        self.output.text(&format!("{{{object}}}"));
    }

    fn open_result(&mut self) {
        self.output.text(if self.results == 0 { "[\n  {" } else { ",\n  {" });
        if let Some(tenant) = &self.tenant {
            self.output.text(&format!("\"slug\": {}, ", json!(tenant)));
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
        let notices = std::mem::take(&mut self.notices.of_statement);
        if !notices.is_empty() {
            self.output.text(&format!(", \"notices\": {}", json!(notices)));
        }
        self.output.text("}");
        self.of_statement = 0;
    }
}

/// Gives each column a name of its own: a statement may give two columns one name, an object may not.
fn distinguish(columns: &mut [Column]) {
    let mut names = HashSet::new();
    for column in columns {
        let others = (2..).map(|number| format!("{}_{number}", column.name));
        let name = std::iter::once(column.name.clone()).chain(others).find(|name| names.insert(name.clone()));
        column.name = name.unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::exec::value::Kind;

    #[test]
    fn columns_of_one_name_become_distinct() {
        let columns = ["id", "id", "id_2", "title"];
        let mut columns = columns.map(|name| Column { name: name.to_owned(), kind: Kind::of("TEXT") });
        distinguish(&mut columns);
        assert_eq!(columns.map(|column| column.name), ["id", "id_2", "id_2_2", "title"]);
    }
}
