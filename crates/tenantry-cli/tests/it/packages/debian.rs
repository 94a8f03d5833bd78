use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use docs::root;
use serde_json::Value;

/// `[package.metadata.deb]`, as cargo reads it.
fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let workspace: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = workspace["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "tenantry-cli").unwrap();
    package["metadata"]["deb"].clone()
}

/// The files that a path with `*` in its last part names.
fn named(path: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let pattern = path.file_name().unwrap().to_str().unwrap();
    let Some((_, ending)) = pattern.split_once('*') else {
        return path.is_file().then(|| pattern.to_owned()).into_iter().collect();
    };
    let entries = fs::read_dir(path.parent().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(ending)).collect()
}

#[test]
fn the_package_for_debian_holds_files_that_are_there_and_every_unit() {
    let metadata = metadata();
    let mut packed = BTreeSet::new();
    for asset in metadata["assets"].as_array().unwrap() {
        let [source, target, mode] = [0, 1, 2].map(|part| asset[part].as_str().unwrap());
        assert!(target.starts_with("usr/") || target.starts_with("etc/"), "{target}");
        assert_eq!(mode, if target == "usr/bin/" { "755" } else { "644" }, "{source}");
        // `cargo xtask deb` builds and writes these.
        if source.starts_with("target/release/") {
            continue;
        }
        let files = named(source);
        assert!(!files.is_empty(), "there is no {source}");
        packed.extend(files);
    }
    let units = fs::read_dir(root().join("packaging/systemd")).unwrap().map(|entry| entry.unwrap());
    for unit in units.filter(|entry| entry.path().is_file()) {
        assert!(packed.contains(unit.file_name().to_str().unwrap()), "{unit:?} is not packed");
    }
    assert!(packed.contains("10-common.conf") && packed.contains("LICENSE-APACHE"));
}
