use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::draft::Section;
use super::extension::ExtensionStatement;
use super::finding::{ImportFinding, ImportRemark};
use super::grants::{CarriedGrant, RoleGrant, role_of, role_tokens, usage};
use super::imported::ImportedFile;
use super::isolation::{Isolation, Kept};
use super::numbers::Numbered;
use super::options::ImportOptions;
use super::qualifier::unqualified;
use super::rows;
use super::tool::ImportTool;
use super::unit::{Unit, Units, whole_lines, with_its_lines};
use super::verdict::{Verdict, is_name_of, verdict};
use crate::sql::lexer::{Token, begins_with};

/// Converts sections, and keeps what there is to say of them.
pub(super) struct Converter<'a> {
    tool: ImportTool,
    options: &'a ImportOptions,
    extensions: Vec<ExtensionStatement>,
    /// The roles that may use the schema by a statement of their own already.
    users: BTreeSet<String>,
    findings: Vec<ImportFinding>,
}

/// A section under way. Places are those in its text.
struct SectionWork<'a> {
    section: &'a Section<'a>,
    text: &'a str,
    edits: Vec<(Range<usize>, String)>,
    kept: Vec<Kept<'a>>,
    /// For each table of a dump, where its rows begin and how many there are, if they are left out.
    rows: BTreeMap<String, (usize, usize)>,
    /// The tables of a dump whose rows were found, if they are wanted.
    carried: BTreeSet<String>,
    is_identity: bool,
}

impl<'a> Converter<'a> {
    pub(super) fn new(tool: ImportTool, options: &'a ImportOptions, findings: Vec<ImportFinding>) -> Self {
        Self { tool, options, extensions: Vec::new(), users: BTreeSet::new(), findings }
    }

    /// Hands out what the master needs, and what there is to say.
    pub(super) fn finish(self) -> (Vec<ExtensionStatement>, Vec<ImportFinding>) {
        (self.extensions, self.findings)
    }

    /// The file of a migration, or both of them. A way back that holds nothing is none.
    pub(super) fn files_of(&mut self, numbered: &Numbered<'_>) -> Vec<ImportedFile> {
        let Numbered { version, stem, draft } = numbered;
        let (up, _) = self.convert(&draft.up);
        let down = draft.down.as_ref().and_then(|section| {
            let (down, is_empty) = self.convert(section);
            if is_empty {
                let message = "left out: the way back holds no statement";
                // The line that announces it, where there is one.
                let at = section.range.start.saturating_sub(1);
                self.findings.push(ImportFinding::at(section.file, at, ImportRemark::Changed, message));
            }
            Some(down).filter(|_| !is_empty)
        });
        let ending = if down.is_some() { ".up.sql" } else { ".sql" };
        let file = |ending, text| ImportedFile {
            is_master: false,
            version: *version,
            name: format!("{stem}{ending}"),
            text,
        };
        let up = file(ending, up);
        [Some(up), down.map(|down| file(".down.sql", down))].into_iter().flatten().collect()
    }

    /// The new text, and true if no statement is in it.
    fn convert(&mut self, section: &Section<'_>) -> (String, bool) {
        let text = section.text();
        let units = Units::of(text, section.is_transactional);
        let is_identity = self.tool == ImportTool::Dump && text.contains("GENERATED ALWAYS AS IDENTITY");
        let mut work = SectionWork {
            section,
            text,
            edits: Vec::new(),
            kept: Vec::new(),
            rows: BTreeMap::new(),
            carried: BTreeSet::new(),
            is_identity,
        };
        self.cut_what_is_for_the_tool(&mut work, &units);
        for unit in &units.statements {
            self.convert_unit(&mut work, unit);
        }
        let transaction = Isolation::of(section.is_transactional, &work.kept);
        for (at, message) in &transaction.not_converted {
            self.tell(section, *at, ImportRemark::NotConverted, message.clone());
        }
        if let Some(message) = transaction.changed {
            self.tell(section, 0, ImportRemark::Changed, message);
        }
        self.tell_of_rows(&work);
        let is_empty = work.kept.is_empty() && units.unterminated.is_none();
        (work.finish(self.tool, transaction.is_one), is_empty)
    }

    fn cut_what_is_for_the_tool(&mut self, work: &mut SectionWork<'_>, units: &Units<'_>) {
        let start = work.section.range.start;
        let cuts = work.section.cuts.iter().map(|cut| cut.start - start..cut.end - start);
        let around = units.around.iter().map(|part| with_its_lines(work.text, part.clone()));
        work.edits.extend(cuts.chain(around).map(|part| (part, String::new())));
        for bracket in &units.brackets {
            let message = format!("`{}` stays: each file is one transaction already", bracket.command);
            self.tell(work.section, bracket.span.range.start, ImportRemark::NotConverted, message);
        }
        if let Some(error) = units.unterminated {
            self.tell(work.section, error.offset, ImportRemark::NotConverted, error.to_string());
        }
        let is_dump = self.tool == ImportTool::Dump;
        for (at, message) in &units.for_psql {
            let is_of_dump =
                is_dump && ["\\restrict", "\\unrestrict"].iter().any(|it| work.text[*at..].starts_with(it));
            if !is_of_dump {
                self.tell(work.section, *at, ImportRemark::NotConverted, message.clone());
            }
        }
        if is_dump {
            let commands = units.commands.iter().map(|command| whole_lines(work.text, command.clone()));
            work.edits.extend(commands.map(|part| (part, String::new())));
        }
    }

    fn convert_unit<'b>(&mut self, work: &mut SectionWork<'b>, unit: &Unit<'b>) {
        let range = unit.range();
        if self.tool == ImportTool::Dump && self.convert_rows(work, unit) {
            return;
        }
        if self.convert_data(work, unit) || self.convert_grant(work, unit) {
            return;
        }
        let first_words = || format!("`{}`", beginning(&work.text[range.clone()]));
        match verdict(self.tool, &self.options.schema, &unit.tokens) {
            Verdict::Stays => {}
            Verdict::Unconverted(why) => {
                let message = format!("{} stays: {why}", first_words());
                self.tell(work.section, range.start, ImportRemark::NotConverted, message);
            }
            Verdict::Goes => return work.leave_out(range),
            Verdict::LeftOut(why) => {
                let message = format!("{} is left out: {why}", first_words());
                self.tell(work.section, range.start, ImportRemark::Changed, message);
                return work.leave_out(range);
            }
            Verdict::Extension => {
                self.move_extension(work, unit);
                return work.leave_out(range);
            }
        }
        let found = unqualified(&unit.tokens, &self.options.schema);
        for (at, remark, message) in found.remarks {
            self.tell(work.section, at, remark, message);
        }
        work.keep(unit, &found.parts);
    }

    /// Carries the privileges of roles that are named. Answers `false` for any other statement, which goes its way.
    fn convert_grant<'b>(&mut self, work: &mut SectionWork<'b>, unit: &Unit<'b>) -> bool {
        let is_named = |role: &String| self.options.with_grants_to.iter().any(|it| is_role(it, role));
        let Some(grant) = RoleGrant::of(&unit.tokens).filter(|grant| grant.roles.iter().any(is_named)) else {
            return false;
        };
        let range = unit.range();
        let words = format!("`{}`", beginning(&work.text[range.clone()]));
        if !grant.roles.iter().all(is_named) {
            let message = format!("{words} is left out: it is for roles beside those that are named");
            self.tell(work.section, range.start, ImportRemark::Changed, message);
            work.leave_out(range);
            return true;
        }
        match grant.carried(work.text, &self.options.schema) {
            None => return false,
            Some(CarriedGrant::InBlock(text)) => {
                let message = format!("{words} is a block now, which asks for the schema of the tenant");
                self.tell(work.section, range.start, ImportRemark::Changed, message);
                work.kept.push(Kept { start: range.start, range: range.clone(), tokens: Vec::new() });
                work.edits.push((range, text));
            }
            Some(CarriedGrant::AsItIs) => {
                let receivers = if grant.gives() { role_tokens(&unit.tokens) } else { Vec::new() };
                let new = receivers
                    .into_iter()
                    .filter(|role| role_of(role).is_some_and(|it| self.users.insert(it)));
                let usage: String = new.map(|role| usage(&role) + ";\n").collect();
                if !usage.is_empty() {
                    let message =
                        format!("{words} is kept, and the role may use the schema, which it needs for that");
                    self.tell(work.section, range.start, ImportRemark::Changed, message);
                    work.edits.push((range.start..range.start, usage));
                }
                let found = unqualified(&unit.tokens, &self.options.schema);
                work.keep(unit, &found.parts);
            }
        }
        true
    }

    fn move_extension(&mut self, work: &SectionWork<'_>, unit: &Unit<'_>) {
        let statement = ExtensionStatement::of(&unit.tokens, &self.options.extension_schema);
        let Some(statement) = statement else { return };
        if self.tool != ImportTool::Dump {
            let message = format!(
                "`{}` is moved to a migration of the master: all tenants share the extension",
                beginning(&work.text[unit.range()])
            );
            self.tell(work.section, unit.range().start, ImportRemark::Changed, message);
        }
        if !self.extensions.iter().any(|known| known.is_like(&statement)) {
            self.extensions.push(statement);
        }
    }

    /// Sees to the rows of a dump, and to the positions of sequences that go with them. Answers `false` for any other
    /// statement.
    fn convert_rows<'b>(&mut self, work: &mut SectionWork<'b>, unit: &Unit<'b>) -> bool {
        let (range, tokens) = (unit.range(), &unit.tokens);
        if let Some(sequence) = rows::sequence_of(tokens) {
            let is_carried = |table: &String| sequence.starts_with(&format!("{table}_"));
            if self.options.with_rows.iter().any(is_carried) {
                return false;
            }
            work.leave_out(range);
            return true;
        }
        let Some(table) =
            rows::table_of(tokens).filter(|_| unit.data.is_some() || begins_with(tokens, "insert"))
        else {
            return false;
        };
        let name = rows::name_of(&table);
        if self.options.with_rows.contains(&name) {
            work.carried.insert(name);
            return match &unit.data {
                Some(data) => {
                    self.insert(work, tokens, data.clone());
                    true
                }
                None => false,
            };
        }
        let count = unit.data.clone().map_or(1, |data| rows::count(work.text, data));
        let (_, counted) = work.rows.entry(name).or_insert((range.start, 0));
        *counted += count;
        let end = unit.data.as_ref().map_or(range.end, |data| data.end);
        work.edits.push((whole_lines(work.text, range.start..end), String::new()));
        true
    }

    /// Writes the data behind a `COPY` as statements, which a migration can hold, as far as they are as dumps have
    /// them. Answers `false` for any other statement.
    fn convert_data(&mut self, work: &mut SectionWork<'_>, unit: &Unit<'_>) -> bool {
        let Some(data) = &unit.data else { return false };
        let is_elsewhere = matches!(unit.tokens.as_slice(), [_, schema, point, ..]
            if point.is_punctuation(".") && !is_name_of(schema, &self.options.schema));
        // `COPY` gives an identity the value that it has, whatever the column says.
        let Ok(sql) = rows::inserts(work.text, &unit.tokens, data.clone(), true) else { return false };
        if is_elsewhere || !unit.tokens.first().is_some_and(|first| first.is_keyword("copy")) {
            return false;
        }
        let range = unit.range();
        let message = format!("the data of `{}` are written as INSERT", beginning(&work.text[range.clone()]));
        self.tell(work.section, range.start, ImportRemark::Changed, message);
        let whole = range.start..data.end;
        if sql.is_empty() {
            work.edits.push((whole_lines(work.text, whole), sql));
        } else {
            work.kept.push(Kept { start: range.start, range: whole.clone(), tokens: Vec::new() });
            work.edits.push((whole, format!("{sql};\n")));
        }
        true
    }

    fn insert(&mut self, work: &mut SectionWork<'_>, copy: &[Token<'_>], data: Range<usize>) {
        let start = copy.first().map_or(0, |first| first.start);
        match rows::inserts(work.text, copy, data.clone(), work.is_identity) {
            Ok(sql) if sql.is_empty() => work.edits.push((whole_lines(work.text, start..data.end), sql)),
            Ok(sql) => {
                work.kept.push(Kept { start, range: start..data.end, tokens: Vec::new() });
                work.edits.push((start..data.end, sql));
            }
            Err(why) => {
                self.tell(work.section, start, ImportRemark::NotConverted, format!("left out: {why}"));
                work.edits.push((whole_lines(work.text, start..data.end), String::new()));
            }
        }
    }

    fn tell_of_rows(&mut self, work: &SectionWork<'_>) {
        for (table, (at, count)) in work.rows.iter().filter(|(_, (_, count))| *count > 0) {
            let rows = if *count == 1 { "row" } else { "rows" };
            let message = format!(
                "{count} {rows} of `{table}` are left out, since every tenant would get them: `--with-rows {table}` \
                 carries them"
            );
            self.tell(work.section, *at, ImportRemark::Changed, message);
        }
        let wanted = self.options.with_rows.iter().filter(|_| self.tool == ImportTool::Dump);
        let missing: Vec<_> = wanted.filter(|table| !work.carried.contains(*table)).collect();
        for table in missing {
            let finding = format!("there are no rows of `{table}` in it");
            self.findings.push(ImportFinding::of_file(
                work.section.file,
                ImportRemark::NotConverted,
                finding,
            ));
        }
    }

    /// Notes a remark on a place in the text of a section.
    fn tell(&mut self, section: &Section<'_>, at: usize, remark: ImportRemark, message: impl Into<String>) {
        self.findings.push(ImportFinding::at(section.file, section.range.start + at, remark, message));
    }
}

impl<'a> SectionWork<'a> {
    fn leave_out(&mut self, statement: Range<usize>) {
        self.edits.push((with_its_lines(self.text, statement), String::new()));
    }

    fn keep(&mut self, unit: &Unit<'a>, parts: &[Range<usize>]) {
        let is_taken = |token: &Token<'_>| parts.iter().any(|part| part.contains(&token.start));
        let tokens = unit.tokens.iter().filter(|token| !is_taken(token)).copied().collect();
        let range = unit.range();
        self.kept.push(Kept { start: range.start, range, tokens });
        self.edits.extend(parts.iter().map(|part| (part.clone(), String::new())));
    }

    fn finish(mut self, tool: ImportTool, is_transaction: bool) -> String {
        self.edits.sort_by_key(|(part, _)| (part.start, part.end));
        let text = if tool == ImportTool::Dump {
            // What is said of each object in a comment is about another schema and another owner.
            let statements =
                self.kept.iter().map(|kept| edited(self.text, kept.range.clone(), &self.edits) + ";\n");
            statements.collect::<Vec<_>>().join("\n")
        } else {
            edited(self.text, 0..self.text.len(), &self.edits)
        };
        let text = text.trim_matches(['\n', '\r']);
        // These words would say something that is not meant.
        let is_mistaken =
            is_transaction && ["-- no-transaction", "-- code"].iter().any(|it| text.starts_with(it));
        let head = match is_transaction {
            false => "-- no-transaction\n",
            true if is_mistaken => "\n",
            true => "",
        };
        format!("{head}{text}\n")
    }
}

/// A part of a text with changes in it, which are sorted.
fn edited(text: &str, part: Range<usize>, edits: &[(Range<usize>, String)]) -> String {
    let mut copied = part.start;
    let mut result = String::with_capacity(part.len());
    let first = edits.partition_point(|(place, _)| place.start < part.start);
    for (place, replacement) in edits[first..].iter().take_while(|(place, _)| place.start < part.end) {
        // A line can be cut for two reasons.
        if place.start >= copied {
            result.push_str(&text[copied..place.start]);
            result.push_str(replacement);
        }
        copied = copied.max(place.end).min(part.end);
    }
    result.push_str(&text[copied..part.end]);
    result
}

/// Returns true for the same role. `PUBLIC` is everybody however it is written.
fn is_role(named: &str, role: &str) -> bool {
    if role == "PUBLIC" { named.eq_ignore_ascii_case("public") } else { named == role }
}

/// The first words of a statement, on one line.
fn beginning(statement: &str) -> String {
    const LENGTH: usize = 50;
    let words: Vec<_> = statement.split_whitespace().take(12).collect();
    let text = words.join(" ");
    match text.char_indices().nth(LENGTH) {
        Some((cut, _)) => format!("{}…", text[..cut].trim_end()),
        None => text,
    }
}
