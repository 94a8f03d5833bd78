use std::collections::BTreeSet;

use docs::{blocks_of, read};

const PAGE: &str = "docs/packaging.md";

#[test]
fn the_values_on_the_page_are_those_that_the_manifests_ask_for() {
    let [values] = blocks_of(PAGE, "yaml");
    let (group, values) = values.split_once('\n').unwrap();
    let names = values.lines().map(|line| line.trim().split(':').next().unwrap());
    let given: BTreeSet<_> = names.map(|name| format!("{}.{name}", group.trim_end_matches(':'))).collect();
    let manifests =
        ["migrate", "purge"].map(|name| read(&format!("packaging/kubernetes/{name}.yaml"))).concat();
    let asked = manifests.split("{{ .Values.").skip(1).map(|rest| rest.split(' ').next().unwrap().to_owned());
    assert_eq!(given, asked.collect());
}

#[test]
fn the_image_on_the_page_holds_what_the_program_reads_by_default() {
    let [image] = blocks_of(PAGE, "dockerfile");
    let template = read("crates/tenantry-cli/src/commands/init/tenantry.toml");
    let copies: Vec<_> = image.lines().filter_map(|line| line.strip_prefix("COPY ")).collect();
    assert_eq!(copies, ["tenantry.toml .", "migrations migrations"]);
    assert!(template.contains("#master = \"migrations/master\"\n#tenant = \"migrations/tenant\"\n"));
}
