//! A sum of rows, to compare those that arrived with those that set out.

use std::hash::{DefaultHasher, Hasher as _};
use std::ops::AddAssign;

/// The number of rows, and a sum of their hashes. In whatever order the rows come, it is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RowSum {
    pub(super) rows: u64,
    sum: u64,
}

impl RowSum {
    /// Adds whole rows, as `COPY` writes them: a line is a row.
    pub(super) fn add(&mut self, lines: &[u8]) {
        for row in lines.split_inclusive(|byte| *byte == b'\n') {
            let mut hasher = DefaultHasher::new();
            hasher.write(row);
            *self += Self { rows: 1, sum: hasher.finish() };
        }
    }
}

impl AddAssign for RowSum {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(chunks: &[&str]) -> RowSum {
        let mut sum = RowSum::default();
        for chunk in chunks {
            sum.add(chunk.as_bytes());
        }
        sum
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_each_of_their_bytes_does() {
        let rows = of(&["1\tone\n", "2\ttwo\n"]);
        assert_eq!(rows.rows, 2);
        assert_eq!(rows, of(&["2\ttwo\n1\tone\n"]));
        for other in [
            &["1\tone\n"][..],
            &["1\tone\n", "2\ttwO\n"],
            &["1\tone\n", "1\tone\n"],
            &["1\ttwo\n", "2\tone\n"],
        ] {
            assert_ne!(rows, of(other), "{other:?}");
        }
    }
}
