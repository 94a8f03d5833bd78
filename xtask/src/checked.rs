//! The question of `examples/checked` to the real `cargo sqlx`: is `.sqlx/` what PostgreSQL says of each query?
//!
//! The gate asks it by a test of the example, which builds nothing. Here the example is compiled once more, with its
//! macros connected to a tenant of a server that is there for this only.

use std::{env, fs};

use crate::{
    command::{Failure, Result, cargo, command, output_of, root, run, succeeds},
    setup,
};

/// The smallest `cargo sqlx` that does this.
const INSTALL: &str = "run `cargo install sqlx-cli --version ^0.9 --no-default-features --features postgres`";

pub(crate) fn check(prepares: bool) -> Result<()> {
    setup::setup()?;
    if !succeeds(&mut cargo("sqlx --version")) {
        return Err(Failure::new("there is no `cargo sqlx`").with_hint(INSTALL));
    }
    let example = root().join("examples/checked");
    let folder = env::temp_dir().join(format!("xtask-checked-{}", std::process::id()));
    fs::create_dir(&folder).map_err(Failure::to(format!("make `{}`", folder.display())))?;
    let migrations = example.join("migrations");
    let migrations = migrations.display();
    let configuration =
        format!("[migrations]\nmaster = \"{migrations}/master\"\ntenant = \"{migrations}/tenant\"\n");
    let tenantry = |line: &str| {
        let mut command =
            cargo(&format!("run -q -p tenantry-cli -- --config {}/tenantry.toml {line}", folder.display()));
        command.env_remove("DATABASE_URL");
        command
    };
    let result = fs::write(folder.join("tenantry.toml"), configuration)
        .map_err(Failure::to("write tenantry.toml"))
        .and_then(|()| run(&mut tenantry("init")))
        .and_then(|()| run(&mut tenantry("migrate")))
        .and_then(|()| run(&mut tenantry("create acme")))
        .and_then(|()| output_of(&mut tenantry("dev url --tenant acme --with-master")))
        .and_then(|url| {
            let check = if prepares { "" } else { " --check" };
            run(command(&format!("cargo sqlx prepare{check}"))
                .current_dir(&example)
                .env("DATABASE_URL", url.trim()))
        });
    let stopped = run(&mut tenantry("dev stop"));
    let removed = fs::remove_dir_all(&folder).map_err(Failure::to(format!("remove `{}`", folder.display())));
    result.and(stopped).and(removed)
}
