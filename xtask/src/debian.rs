//! The files that a distribution packs beside the program, man pages and completions, and the `.deb` with all of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::command::{Failure, Result, cargo, command, output_of, root, run, succeeds};

/// The test that renders the pages, and compares them with the commands there are. `clap_mangen` is a dependency of
/// the tests, so that the program need not carry it.
const PAGES: &str = "test -q -p tenantry-cli --bin tenantry man::";
/// The shells, and the names that they look for.
const COMPLETIONS: &[(&str, &str)] =
    &[("bash", "tenantry.bash"), ("fish", "tenantry.fish"), ("zsh", "_tenantry")];

/// Writes the man pages into a folder.
pub(crate) fn man(folder: &Path) -> Result<()> {
    let folder = root().join(folder);
    fs::create_dir_all(&folder).map_err(Failure::to(format!("make `{}`", folder.display())))?;
    run(cargo(PAGES).env("MAN_PAGES", &folder))?;
    println!("man: the pages are in {}", folder.display());
    Ok(())
}

/// Builds `target/debian/tenantry_….deb`, unpacks it somewhere, and runs the program in it.
pub(crate) fn deb() -> Result<()> {
    for (program, hint) in [
        ("cargo deb --version", "run `cargo install cargo-deb --no-default-features`"),
        ("dpkg-deb --version", "a package for Debian is made on Debian, or in a container of it"),
    ] {
        if !succeeds(&mut command(program)) {
            let name = program.trim_end_matches(" --version");
            return Err(Failure::new(format!("there is no `{name}`")).with_hint(hint));
        }
    }
    run(&mut cargo("build --release -p tenantry-cli"))?;
    let packaged = target().join("release/packaged");
    let _ = fs::remove_dir_all(&packaged);
    man(&packaged.join("man"))?;
    completions(&packaged.join("completions"))?;
    let made = output_of(&mut cargo("deb --no-build -p tenantry-cli"))?;
    let package = made.lines().last().unwrap_or_default().trim();
    println!("deb: {package}");
    try_out(package)
}

fn completions(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Failure::to(format!("make `{}`", folder.display())))?;
    for (shell, name) in COMPLETIONS {
        let program = target().join("release/tenantry");
        let script = output_of(&mut command(&format!("{} completions {shell}", program.display())))?;
        let file = folder.join(name);
        fs::write(&file, script).map_err(Failure::to(format!("write `{}`", file.display())))?;
    }
    Ok(())
}

/// Unpacks it into a folder that plays the root of a machine.
fn try_out(package: &str) -> Result<()> {
    let machine = target().join("release/packaged/root");
    run(command(&format!("dpkg-deb --extract {package}")).arg(&machine))?;
    run(&mut command(&format!("dpkg-deb --info {package}")))?;
    for file in [
        "usr/bin/tenantry",
        "usr/share/bash-completion/completions/tenantry",
        "usr/lib/systemd/system/tenantry-migrate.service",
        "etc/tenantry/tenantry.toml",
    ] {
        if !machine.join(file).is_file() {
            return Err(Failure::new(format!("{package} does not hold {file}")));
        }
    }
    // A `cargo deb` with all of its features compresses the pages.
    let pages = machine.join("usr/share/man/man1");
    if !["1", "1.gz"].iter().any(|ending| pages.join(format!("tenantry-migrate.{ending}")).is_file()) {
        return Err(Failure::new(format!("{package} does not hold the man pages")));
    }
    run(command("./usr/bin/tenantry --version").current_dir(&machine))
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}
