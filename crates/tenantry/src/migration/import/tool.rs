use super::draft::Draft;
use super::finding::ImportFinding;
use super::source_file::SourceFile;
use super::{dbmate, diesel, dump, flyway, golang_migrate, goose, prisma, refinery};

/// A tool whose layout of migrations can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportTool {
    /// `0001_note.sql` with `-- +goose Up` and `-- +goose Down`
    Goose,
    /// `0001_note.up.sql` and `0001_note.down.sql`
    GolangMigrate,
    /// `20240131120000_note.sql` with `-- migrate:up` and `-- migrate:down`
    Dbmate,
    /// `2024-01-31-120000_note/up.sql` and `down.sql`
    Diesel,
    /// `V1__note.sql`, and `U2__tag.sql`, which may come late
    Refinery,
    /// `V1.2__note.sql`, and `U1.2__note.sql`, which undoes it
    Flyway,
    /// `20240131120000_note/migration.sql`
    Prisma,
    /// One file, written by `pg_dump`
    Dump,
}

impl ImportTool {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Goose,
        Self::GolangMigrate,
        Self::Dbmate,
        Self::Diesel,
        Self::Refinery,
        Self::Flyway,
        Self::Prisma,
        Self::Dump,
    ];

    /// The name, as it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Goose => "goose",
            Self::GolangMigrate => "golang-migrate",
            Self::Dbmate => "dbmate",
            Self::Diesel => "diesel",
            Self::Refinery => "refinery",
            Self::Flyway => "flyway",
            Self::Prisma => "prisma",
            Self::Dump => "dump",
        }
    }

    /// The tool of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.as_str() == name)
    }

    /// The names that its migrations have.
    pub(super) fn layout(self) -> &'static str {
        match self {
            Self::Goose => "`0001_note.sql`, with the line `-- +goose Up`",
            Self::GolangMigrate => "`0001_note.up.sql` and `0001_note.down.sql`",
            Self::Dbmate => "`20240131120000_note.sql`, with the line `-- migrate:up`",
            Self::Diesel => "`2024-01-31-120000_note/up.sql`",
            Self::Refinery => "`V1__note.sql`",
            Self::Flyway => "`V1.2__note.sql`",
            Self::Prisma => "`20240131120000_note/migration.sql`",
            Self::Dump => "one file that ends in `.sql`",
        }
    }

    /// Reads the layout. Every file that ends in `.sql`, or is a migration in another language, is used or named.
    pub(super) fn read<'a>(
        self,
        files: &'a [SourceFile],
        findings: &mut Vec<ImportFinding>,
    ) -> Vec<Draft<'a>> {
        match self {
            Self::Goose => goose::read(files, findings),
            Self::GolangMigrate => golang_migrate::read(files, findings),
            Self::Dbmate => dbmate::read(files, findings),
            Self::Diesel => diesel::read(files, findings),
            Self::Refinery => refinery::read(files, findings),
            Self::Flyway => flyway::read(files, findings),
            Self::Prisma => prisma::read(files, findings),
            Self::Dump => dump::read(files, findings),
        }
    }
}
