//! The blocks of the page are parts of `examples/loco`, which `cargo xtask loco` compiles and runs: here is no Loco.

use docs::{blocks_of, read};

const PAGE: &str = "docs/loco.md";
const INITIALIZER: &str = "src/initializers/tenancy.rs";

/// The lines without their indentation: a method that is shown alone has less of it.
fn lines(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join("\n")
}

fn is_part_of(file: &str, block: &str) -> bool {
    lines(&read(&format!("examples/loco/{file}"))).contains(&lines(block))
}

#[test]
fn the_blocks_are_parts_of_the_example() {
    let [layer, handler, tenancy, app] = blocks_of(PAGE, "rust");
    let [settings] = blocks_of(PAGE, "yaml");
    for (block, file) in [
        (&layer, INITIALIZER),
        (&handler, "src/controllers/notes.rs"),
        (&tenancy, INITIALIZER),
        (&app, "src/app.rs"),
        (&settings, "config/development.yaml"),
    ] {
        assert!(is_part_of(file, block), "{file} has no\n{block}");
    }
    assert!(!is_part_of(INITIALIZER, &layer.replace("router.layer", "router.route_layer")));
}

#[test]
fn it_begins_with_five_lines_to_paste() {
    let [layer, ..] = blocks_of::<4>(PAGE, "rust");
    assert_eq!(layer.lines().count(), 5, "{layer}");
}

/// Without it, `cargo test --workspace` would build Loco.
#[test]
fn the_example_is_a_workspace_of_its_own() {
    let [outer, inner] = ["Cargo.toml", "examples/loco/Cargo.toml"].map(read);
    let excluded = outer.lines().find(|line| line.starts_with("exclude = "));
    assert!(excluded.is_some_and(|line| line.contains("\"examples/loco\"")), "{outer}");
    assert!(inner.contains("\n[workspace]\n"), "{inner}");
}
