//! Names of members, and their order.

use std::fmt;

/// The name of a member. What is greater comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MemberName {
    PreData,
    /// Rows of a table. Both are counted from 1.
    Rows {
        table: usize,
        part: usize,
    },
    PostData,
    Privileges,
    Restore,
    Manifest,
}

impl MemberName {
    const NAMED: [(Self, &'static str); 5] = [
        (Self::PreData, "pre-data.sql"),
        (Self::PostData, "post-data.sql"),
        (Self::Privileges, "privileges.sql"),
        (Self::Restore, "restore.sql"),
        (Self::Manifest, "manifest.json"),
    ];

    /// Reads a name as it is written here, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some((name, _)) = Self::NAMED.iter().find(|(_, known)| *known == text) {
            return Some(*name);
        }
        let (table, part) = text.strip_prefix("data/")?.strip_suffix(".copy")?.split_once('.')?;
        let name = Self::Rows { table: table.parse().ok()?, part: part.parse().ok()? };
        (name.to_string() == text).then_some(name)
    }

    /// Returns true if this may be the member behind another, or the first one.
    pub(super) fn follows(self, before: Option<Self>) -> bool {
        let Some(before) = before else { return self == Self::PreData };
        match (before, self) {
            (Self::Rows { table, part }, Self::Rows { table: next, part: second }) => {
                if next == table {
                    second == part + 1
                } else {
                    next > table && second == 1
                }
            }
            (Self::PreData, Self::Rows { table, part }) => table > 0 && part == 1,
            (Self::PreData | Self::Rows { .. }, Self::PostData)
            | (Self::PostData, Self::Privileges)
            | (Self::Privileges, Self::Restore)
            | (Self::Restore, Self::Manifest) => true,
            _ => false,
        }
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Rows { table, part } = self {
            return write!(f, "data/{table:04}.{part:03}.copy");
        }
        let name = Self::NAMED.iter().find(|(name, _)| name == self).map_or("", |(_, text)| text);
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for text in ["pre-data.sql", "data/0001.001.copy", "data/12345.1234.copy", "manifest.json"] {
            assert_eq!(MemberName::parse(text).map(|name| name.to_string()).as_deref(), Some(text));
        }
        for text in [
            "",
            "../pre-data.sql",
            "./pre-data.sql",
            "/pre-data.sql",
            "data/1.1.copy",
            "data/0001.001.copy/../x",
            "data/+001.001.copy",
            "data/00001.001.copy",
            "data/0001.copy",
            "PRE-DATA.SQL",
            "data/",
        ] {
            assert_eq!(MemberName::parse(text), None, "{text}");
        }
    }

    #[test]
    fn members_have_one_order() {
        let rows = |table, part| MemberName::Rows { table, part };
        let right = [
            MemberName::PreData,
            rows(1, 1),
            rows(1, 2),
            rows(3, 1),
            MemberName::PostData,
            MemberName::Privileges,
            MemberName::Restore,
            MemberName::Manifest,
        ];
        for (index, name) in right.into_iter().enumerate() {
            let before = index.checked_sub(1).map(|before| right[before]);
            assert!(name.follows(before), "{name}");
            // Any other that may be there is one of rows.
            for other in right.into_iter().filter(|other| *other != name && other.follows(before)) {
                assert!(matches!(name, MemberName::Rows { .. } | MemberName::PostData), "{other} for {name}");
            }
            assert!(!name.follows(Some(name)) && !name.follows(Some(MemberName::Manifest)), "{name}");
        }
        assert!(!rows(1, 2).follows(Some(MemberName::PreData)));
        assert!(!rows(0, 1).follows(Some(MemberName::PreData)));
        assert!(!rows(2, 2).follows(Some(rows(1, 1))));
        assert!(!rows(1, 1).follows(Some(rows(2, 1))));
    }
}
