//! The man pages, one for each command, rendered by a test: the program itself need not carry what renders them.
//!
//! `cargo xtask man FOLDER` runs the test with that folder in `MAN_PAGES`, and the pages stay there.
use std::collections::BTreeMap;
use std::{env, fs};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::commands::Cli;

/// The end of each page: what is the same for every command.
const END: &str = r#".SH "EXIT STATUS"
.TP
0
done
.TP
1
failed: the error on standard error says why, and mostly what to do
.TP
2
a mistake in the arguments
.TP
3
all was tried, and some tenants failed, or a database did not answer
.SH FILES
.TP
tenantry.toml
the configuration: the nearest one, from the working directory upwards
.SH ENVIRONMENT
.TP
DATABASE_URL
the default database. Every key of tenantry.toml has a variable, too: TENANTRY_POOL_MODE for pool.mode
"#;

/// The pages by their file names, nested commands included.
fn pages() -> BTreeMap<String, String> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut pages = BTreeMap::new();
    add(&program, &mut pages);
    pages
}

fn add(command: &Command, pages: &mut BTreeMap<String, String>) {
    let man =
        Man::new(command.clone()).manual("Tenantry").source(concat!("Tenantry ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render(&mut page).expect("memory takes it");
    let page = String::from_utf8(page).expect("a text") + END;
    pages.insert(man.get_filename(), page);
    for below in shown(command) {
        add(below, pages);
    }
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set())
}

/// Text as a page has it.
fn escaped(text: &str) -> String {
    text.replace('-', "\\-")
}

/// Checks the page of a command, and those of the commands below it. Counts them.
fn check(command: &Command, name: &str, pages: &BTreeMap<String, String>) -> usize {
    let page = pages.get(&format!("{name}.1")).unwrap_or_else(|| panic!("there is no page for {name}"));
    assert!(page.contains(".TH "), "{page}");
    let options = command.get_arguments().filter(|argument| !argument.is_hide_set());
    for long in options.filter_map(clap::Arg::get_long) {
        assert!(page.contains(&escaped(&format!("--{long}"))), "{name}.1 does not know --{long}");
    }
    let below = shown(command).map(|below| {
        let name = format!("{name}-{}", below.get_name());
        assert!(page.contains(&escaped(&format!("{name}(1)"))), "no reference to {name}:\n{page}");
        check(below, &name, pages)
    });
    1 + below.sum::<usize>()
}

#[test]
fn every_command_has_a_page_with_all_its_options() {
    let pages = pages();
    assert_eq!(check(&Cli::command(), "tenantry", &pages), pages.len());
    let page = &pages["tenantry-migrate.1"];
    assert!(page.contains(r"\-\-wait") && page.contains(r"\-\-database\-url"), "{page}");
    assert!(pages.contains_key("tenantry-dev-url.1") && !pages.contains_key("tenantry-help.1"));
    let Some(folder) = env::var_os("MAN_PAGES") else { return };
    for (name, page) in pages {
        fs::write(std::path::Path::new(&folder).join(name), page).expect("a folder to write into");
    }
}
