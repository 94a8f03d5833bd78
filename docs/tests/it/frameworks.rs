//! The page's blocks stand in `examples/frameworks`, which `cargo xtask frameworks` compiles and sends requests to:
//! three frameworks are more than the gate should build.

use docs::{blocks_of, read};

const PAGE: &str = "docs/frameworks.md";

#[test]
fn every_block_is_in_the_example() {
    let blocks: [_; 7] = blocks_of(PAGE, "rust");
    let files = ["poem", "poem/tenants", "salvo", "salvo/tenants", "warp", "warp/tenants", "refused"];
    let files = files.map(|file| read(&format!("examples/frameworks/src/{file}.rs")));
    for (block, file) in blocks.iter().zip(&files) {
        assert!(file.contains(block), "the example has another text than the page:\n{block}");
    }
}
