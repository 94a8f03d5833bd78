//! The command that installs what is missing.
use std::{
    env,
    path::{Path, PathBuf},
};

use crate::search::in_path;

/// Something to install, by its name and its packages.
pub(crate) struct Product {
    name: &'static str,
    package: &'static str,
    /// Fedora and SUSE pack the server apart from the client.
    package_of_rpm: &'static str,
    /// The way without installing it, if there is one.
    otherwise: &'static str,
}

pub(crate) const POSTGRESQL: Product = Product {
    name: "PostgreSQL",
    package: "postgresql",
    package_of_rpm: "postgresql-server",
    otherwise: ", or set `TENANTRY_PG_BIN` to the folder that holds `postgres` and `initdb`",
};

pub(crate) const PGBOUNCER: Product =
    Product { name: "PgBouncer", package: "pgbouncer", package_of_rpm: "pgbouncer", otherwise: "" };

/// Names the project's own command in a checkout of it, elsewhere that of the machine's package manager.
pub(crate) fn install_hint(product: Product) -> String {
    let Product { name, otherwise, .. } = product;
    // cargo says whose tests or program it runs, wherever these work.
    let package = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    if package.into_iter().chain(env::current_dir()).any(|folder| is_in_checkout(&folder)) {
        return format!(
            "run `cargo xtask setup` (or `cargo xtask test`, which runs the tests as well){otherwise}"
        );
    }
    format!(
        "install {name} (`{}`){otherwise}",
        install_command(&product, |manager| in_path(manager).is_some())
    )
}

fn is_in_checkout(folder: &Path) -> bool {
    let parts = ["xtask/Cargo.toml", "crates/tenantry-embedded/Cargo.toml"];
    folder.ancestors().any(|root| parts.iter().all(|part| root.join(part).is_file()))
}

fn install_command(product: &Product, is_there: impl Fn(&str) -> bool) -> String {
    let Product { package, package_of_rpm, .. } = product;
    let by_manager = [
        ("apt-get", "install", package),
        ("dnf", "install", package_of_rpm),
        ("apk", "add", package),
        ("pacman", "-S", package),
        ("zypper", "install", package_of_rpm),
        ("brew", "install", package),
    ];
    match by_manager.iter().find(|(manager, ..)| is_there(manager)) {
        Some((manager, install, package)) => format!("{manager} {install} {package}"),
        None => format!("apt-get install {package}` or `brew install {package}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_that_of_the_machine() {
        #[track_caller]
        fn check(manager: &str, product: Product, expect: &str) {
            assert_eq!(install_command(&product, |name| name == manager), expect);
        }
        check("apt-get", POSTGRESQL, "apt-get install postgresql");
        check("dnf", POSTGRESQL, "dnf install postgresql-server");
        check("zypper", PGBOUNCER, "zypper install pgbouncer");
        check("pacman", PGBOUNCER, "pacman -S pgbouncer");
        check("none", POSTGRESQL, "apt-get install postgresql` or `brew install postgresql");
    }

    #[test]
    fn in_a_checkout_its_own_command_is_named() {
        assert!(is_in_checkout(Path::new(env!("CARGO_MANIFEST_DIR"))));
        assert!(!is_in_checkout(&env::temp_dir()));
        for product in [POSTGRESQL, PGBOUNCER] {
            let hint = install_hint(product);
            assert!(hint.contains("`cargo xtask setup`") && hint.contains("`cargo xtask test`"), "{hint}");
        }
    }
}
