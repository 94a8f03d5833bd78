//! Equal failures, told once.
//!
//! Two thousand tenants may fail alike. The first of each cause is told in full when it happens, and at the end one
//! line says how many more there were, with the names of a few. Memory has a limit, whatever fails and why.
use serde::Serialize;

use crate::alike::without_names;
use crate::failure::Report;
use crate::output::{Format, Output, note, print_report};

/// Causes that are told apart. What fails in yet other ways is counted.
const MOST: usize = 100;
/// Tenants of one cause that are named, beside the first.
const NAMED: usize = 4;

/// The tenants that failed alike.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    /// The error of the first of them.
    pub(crate) error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// The number of them.
    pub(crate) tenants: usize,
    /// The first of them.
    pub(crate) slugs: Vec<String>,
    #[serde(skip)]
    cause: String,
}

/// The failures so far, by their cause. As JSON, the list of the groups.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Causes {
    groups: Vec<Group>,
    /// Failures beyond the causes that are told apart.
    #[serde(skip)]
    others: usize,
}

impl Causes {
    /// Counts a failure, and tells it if there was none like it. Programs are told of each.
    pub(crate) fn tell(&mut self, format: Format, report: &Report) {
        if self.add(report) || format == Format::Json {
            print_report(format, report);
        }
    }

    /// Counts a failure. Returns true if there was none like it.
    pub(crate) fn add(&mut self, report: &Report) -> bool {
        let kind = Some(report.kind().to_owned());
        self.count(report.cause(), report.error().to_owned(), kind, report.slug())
    }

    /// Does the same for one that was recorded as a text.
    pub(crate) fn add_text(&mut self, error: &str, slug: &str) -> bool {
        self.count(without_names(error, Some(slug), None), error.to_owned(), None, Some(slug))
    }

    fn count(&mut self, cause: String, error: String, kind: Option<String>, slug: Option<&str>) -> bool {
        if let Some(group) = self.groups.iter_mut().find(|group| group.cause == cause) {
            group.tenants += 1;
            if group.slugs.len() <= NAMED {
                group.slugs.extend(slug.map(str::to_owned));
            }
            return false;
        }
        let is_told = self.groups.len() < MOST;
        if is_told {
            let slugs = slug.map(str::to_owned).into_iter().collect();
            self.groups.push(Group { error, kind, tenants: 1, slugs, cause });
        } else {
            self.others += 1;
        }
        is_told
    }

    /// Prints them, one line for each cause.
    pub(crate) fn print(&self, output: &mut Output) {
        if self.groups.is_empty() {
            return;
        }
        output.line("");
        let row = |group: &Group| vec![group.tenants.to_string(), group.names(), group.error.clone()];
        output.rows(Some(&["FAILED", "TENANTS", "ERROR"]), &[0], self.groups.iter().map(row));
        if self.others > 0 {
            output.line(&self.of_others());
        }
    }

    /// Tells a person how many more failed like those that were told.
    pub(crate) fn finish(&self, format: Format) {
        self.finish_with(format, "failed like");
        if self.others > 0 {
            note(format, &self.of_others());
        }
    }

    /// Does the same for what is no failure, in these words.
    pub(crate) fn finish_with(&self, format: Format, like: &str) {
        for line in self.lines(like) {
            note(format, &line);
        }
    }

    fn lines(&self, like: &str) -> Vec<String> {
        self.groups.iter().filter_map(|group| group.others(like)).collect()
    }

    fn of_others(&self) -> String {
        format!("{} failed for other reasons", counted(self.others))
    }
}

impl Group {
    /// The sentence about those behind the first. `None` if there are none.
    fn others(&self, like: &str) -> Option<String> {
        let more = self.tenants.checked_sub(1).filter(|more| *more > 0)?;
        let (first, others) = self.slugs.split_first()?;
        Some(format!("{} {like} `{first}`: {}", counted(more), list(others, more)))
    }

    fn names(&self) -> String {
        list(&self.slugs, self.tenants)
    }
}

/// The names, and a hint that there are more than these.
fn list(names: &[String], all: usize) -> String {
    let rest = if all > names.len() { ", …" } else { "" };
    format!("{}{rest}", names.join(", "))
}

fn counted(tenants: usize) -> String {
    if tenants == 1 { "1 more tenant".to_owned() } else { format!("{tenants} more tenants") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIKE: &str = "failed like";

    #[test]
    fn thousands_that_fail_alike_are_one_line() {
        let mut causes = Causes::default();
        let slugs =
            ["acme", "bravo"].map(str::to_owned).into_iter().chain((0..1998).map(|n| format!("t{n}")));
        let told = slugs.filter(|slug| causes.add_text(&format!("tenant `{slug}` fails"), slug)).count();
        assert_eq!(told, 1);
        assert_eq!(causes.lines(LIKE), ["1999 more tenants failed like `acme`: bravo, t0, t1, t2, …"]);
        assert!(causes.add_text("it fails otherwise", "zulu"));
        assert_eq!(causes.lines(LIKE).len(), 1, "one that stands alone was told in full");
        assert!(!causes.add_text("it fails otherwise", "zulu-2"));
        assert_eq!(causes.lines(LIKE)[1], "1 more tenant failed like `zulu`: zulu-2");
        assert_eq!((causes.groups[0].tenants, causes.groups.len()), (2000, 2));
    }

    #[test]
    fn causes_beyond_a_hundred_are_counted() {
        let mut causes = Causes::default();
        let told = (0..250).filter(|n| causes.add_text(&format!("error {n}"), "acme")).count();
        assert_eq!((told, causes.groups.len()), (MOST, MOST));
        assert_eq!(causes.of_others(), "150 more tenants failed for other reasons");
    }
}
