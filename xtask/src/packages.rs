//! The packages that are published: all in `crates/` but those that say `publish = false`.

use std::fs;

use crate::command::{Failure, Result, cargo, root, run};

/// The files that whoever reads a published package looks for.
const FILES: &[&str] = &["README.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Makes the archives that would be published, each with the ones that it needs in front of it. Nothing of them is
/// built: that they build together is what the tests have shown.
pub(crate) fn package() -> Result<()> {
    println!("packages: {}", published()?.join(", "));
    run(&mut cargo(&format!("package {} --no-verify --allow-dirty", named()?)))
}

/// The arguments that choose what is published.
fn named() -> Result<String> {
    Ok(published()?.iter().map(|name| format!("-p {name}")).collect::<Vec<_>>().join(" "))
}

fn published() -> Result<Vec<String>> {
    let folder = root().join("crates");
    let entries = fs::read_dir(&folder).map_err(Failure::to(format!("list `{}`", folder.display())))?;
    let mut names = Vec::new();
    for folder in entries.flatten().map(|entry| entry.path()) {
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let Some(name) = published_name(&manifest) else { continue };
        for file in FILES {
            if !folder.join(file).is_file() {
                let message = format!("`{name}` would be published without its {file}");
                return Err(Failure::new(message)
                    .with_hint("the licences of the others are links to those of the root"));
            }
        }
        names.push(name.to_owned());
    }
    names.sort();
    Ok(names)
}

/// The name of a package, unless it stays here.
fn published_name(manifest: &str) -> Option<&str> {
    let (_, package) = manifest.split_once("[package]\n")?;
    let package = package.split("\n[").next()?;
    if package.lines().any(|line| line.trim() == "publish = false") {
        return None;
    }
    package.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_published_unless_it_says_otherwise() {
        for (manifest, name) in [
            ("[package]\nname = \"a\"\n\n[lib]\nname = \"b\"\n", Some("a")),
            ("[package]\nname = \"a\"\npublish = false\n", None),
            ("[package]\nname = \"a\"\n\n[dependencies]\npublish = false\n", Some("a")),
            ("[workspace]\n", None),
        ] {
            assert_eq!(published_name(manifest), name, "{manifest}");
        }
    }

    #[test]
    fn the_library_and_the_command_line_are_published() {
        let published = published().expect("manifests");
        for name in ["tenantry", "tenantry-cli", "tenantry-embedded"] {
            assert!(published.iter().any(|it| it == name), "{published:?}");
        }
    }
}
