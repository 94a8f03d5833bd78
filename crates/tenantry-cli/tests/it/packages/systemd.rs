use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use docs::root;

use crate::bench::{Folder, Project};

const PROGRAM: &str = "/usr/bin/tenantry";
const COMMON: &str = "tenantry-.service.d/10-common.conf";

fn folder() -> PathBuf {
    root().join("packaging/systemd")
}

/// The units by their names.
fn units() -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.path().is_file());
    files.map(|it| (it.file_name().into_string().unwrap(), fs::read_to_string(it.path()).unwrap())).collect()
}

/// The values of a key, in the order in which they stand.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[tokio::test]
async fn the_command_lines_of_the_units_do_their_work() {
    let project = Project::with_tenants().await;
    project.ok(&["delete", "globex", "--yes", "--keep", "0d"]);
    project.write("migrations/tenant/0002_tag.sql", "CREATE TABLE tag ();");
    let mut outputs = String::new();
    for (name, unit) in units() {
        let lines = [values(&unit, "ExecStartPre"), values(&unit, "ExecStart")].concat();
        assert_eq!(lines.is_empty(), !name.ends_with(".service"), "{name}");
        for line in lines {
            let line = line.replace("${SPARES}", "1");
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!(words[0], PROGRAM, "{name}");
            outputs += &project.ok(&words[1..]);
        }
    }
    for done in ["2 migrated", "purged globex", "spares: 1 made"] {
        assert!(outputs.contains(done), "no `{done}` in:\n{outputs}");
    }
}

#[test]
fn no_unit_is_repeated_after_an_exit_code_that_another_attempt_does_not_change() {
    let common = fs::read_to_string(folder().join(COMMON)).unwrap();
    assert_eq!(values(&common, "Restart"), ["on-failure"]);
    assert_eq!(values(&common, "RestartPreventExitStatus"), ["2 3"]);
    assert_eq!(values(&common, "ConditionPathExists"), values(&common, "EnvironmentFile"));
    for (name, unit) in units() {
        if name.ends_with(".service") {
            assert!(!values(&unit, "StartLimitBurst").is_empty(), "{name} would be tried for ever");
        } else {
            let service = name.replace(".timer", ".service");
            assert!(folder().join(&service).is_file(), "{name} starts nothing");
        }
    }
}

/// Asks systemd itself, where it is.
#[test]
fn systemd_takes_the_units() {
    let folder = Folder::new();
    let common = folder.path().join(COMMON);
    fs::create_dir(common.parent().unwrap()).unwrap();
    fs::copy(self::folder().join(COMMON), &common).unwrap();
    let units: Vec<_> = units()
        .into_iter()
        .map(|(name, unit)| {
            let file = folder.path().join(name);
            // It wants to see the program.
            fs::write(&file, unit.replace(PROGRAM, env!("CARGO_BIN_EXE_tenantry"))).unwrap();
            file
        })
        .collect();
    let verify = || {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]).args(&units);
        command.env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display())).output().ok()
    };
    // There is none on macOS.
    let Some(output) = verify() else { return };
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && told.is_empty(), "{told}");
    // It would tell of a mistake in the file that they share, too.
    fs::write(&common, "[Service]\nTypo=oneshot\n").unwrap();
    let told = String::from_utf8(verify().unwrap().stderr).unwrap();
    assert!(told.contains("Typo"), "{told}");
}
