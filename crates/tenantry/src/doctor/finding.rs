use serde::Serialize;

use crate::tenant::Alias;

/// Findings of one check that are told one by one; of the rest, how many there are.
pub(super) const TOLD: usize = 10;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The check that found it. Stays the same from release to release, where the sentences may not.
    pub check: Check,
    /// Its severity.
    pub severity: Severity,
    /// The database in which it was found.
    pub database: Alias,
    /// The trouble, in one sentence.
    pub what: String,
    /// The reason why that matters, in one sentence.
    pub why: String,
    /// The mend: SQL for the owner of the schemas, a `tenantry` command, or the setting.
    pub mend: String,
}

/// The severity of a [`Finding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It works, at a price or with less protection than there could be.
    Warning,
    /// It does not work, or does not protect tenants from each other.
    Error,
}

/// The subject of a [`Finding`]. As JSON in snake case: `"orphan_schema"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Check {
    /// A database, or a way to it, does not answer.
    Unreachable,
    /// Something could not be looked at.
    Unexamined,
    /// The mode of the pool is not that of the pooler in front of the database.
    PoolMode,
    /// There is no way past the pooler, or one that passes it after all.
    DirectWay,
    /// Sessions do not begin as they should, because a pooler takes no start-up options.
    StartUp,
    /// The server is a standby, or its sessions are read-only.
    ReadOnly,
    /// A replica is too far behind, is no standby, or follows another server.
    Replica,
    /// The application is a superuser.
    Superuser,
    /// The application may create where it should not.
    MayCreate,
    /// The application may not use what it needs.
    MissingPrivilege,
    /// A role is a member of so many others that it is slow to become one of them.
    Memberships,
    /// The registry is not installed, or is of an older version.
    Registry,
    /// Nobody owns a schema that looks like one of Tenantry's.
    OrphanSchema,
    /// The schema of a tenant or a spare goes by another name.
    RenamedSchema,
    /// A tenant or a spare has no schema.
    MissingSchema,
    /// Making or removing a tenant, or changing its type, was interrupted.
    HalfMade,
    /// Something was begun on a tenant, and has not ended.
    Unfinished,
    /// A run over the fleet was interrupted.
    InterruptedRun,
    /// A migration outside of a transaction was interrupted.
    InterruptedMigration,
    /// The ledger in a schema and the row in `tenantry.applied` say different things.
    Ledger,
    /// Tenants are of a type that the configuration does not have, or whose files cannot be told apart.
    UnusableType,
    /// The last migration of tenants failed.
    Failed,
    /// Files were changed after tenants had applied them.
    ChangedFile,
    /// Tenants have applied versions that have no file any more.
    MissingFile,
    /// Tenants have not applied all files.
    Behind,
    /// A schema differs from what the files make, or from others that have applied the same.
    Drift,
    /// A file cannot be replayed, so that nobody knows what it makes.
    NotReplayed,
    /// An extension is in a schema that tenants do not see.
    ExtensionElsewhere,
    /// Objects in the schemas of tenants belong to somebody else than the owner.
    ForeignOwner,
    /// A foreign key leads from one tenant to another.
    CrossingForeignKey,
    /// Foreign keys lead from tenants to shared tables.
    SharedForeignKey,
    /// The server is not of the kind that `engine` names.
    Engine,
    /// A node of Citus is not active or not reached, or something is left over of its work.
    CitusNode,
    /// A setting of Citus keeps tenants from being moved, or distributes schemas unasked.
    CitusSetting,
    /// The schema of a tenant is on the coordinator of Citus, and not on a node.
    NotDistributed,
    /// Tables of tenants on Citus have no primary key.
    NoPrimaryKey,
    /// The server has too few locks to drop the largest schema.
    Locks,
    /// The server takes fewer connections than the configuration may open.
    Connections,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 38] = [
        Self::Unreachable,
        Self::Unexamined,
        Self::PoolMode,
        Self::DirectWay,
        Self::StartUp,
        Self::ReadOnly,
        Self::Replica,
        Self::Superuser,
        Self::MayCreate,
        Self::MissingPrivilege,
        Self::Memberships,
        Self::Registry,
        Self::OrphanSchema,
        Self::RenamedSchema,
        Self::MissingSchema,
        Self::HalfMade,
        Self::Unfinished,
        Self::InterruptedRun,
        Self::InterruptedMigration,
        Self::Ledger,
        Self::UnusableType,
        Self::Failed,
        Self::ChangedFile,
        Self::MissingFile,
        Self::Behind,
        Self::Drift,
        Self::NotReplayed,
        Self::ExtensionElsewhere,
        Self::ForeignOwner,
        Self::CrossingForeignKey,
        Self::SharedForeignKey,
        Self::Engine,
        Self::CitusNode,
        Self::CitusSetting,
        Self::NotDistributed,
        Self::NoPrimaryKey,
        Self::Locks,
        Self::Connections,
    ];
}

impl Finding {
    /// Says what is wrong and why that matters. [`mend_by`](Self::mend_by) completes it.
    pub(super) fn error(check: Check, alias: &Alias, what: impl Into<String>, why: &str) -> Self {
        Self::new(check, Severity::Error, alias, what.into(), why)
    }

    pub(super) fn warning(check: Check, alias: &Alias, what: impl Into<String>, why: &str) -> Self {
        Self::new(check, Severity::Warning, alias, what.into(), why)
    }

    pub(super) fn mend_by(mut self, mend: impl Into<String>) -> Self {
        self.mend = mend.into();
        self
    }

    fn new(check: Check, severity: Severity, alias: &Alias, what: String, why: &str) -> Self {
        let (database, why, mend) = (alias.clone(), why.to_owned(), String::new());
        Self { check, severity, database, what, why, mend }
    }
}

/// The findings of one check in one database, however many there are: where a backup was restored that is
/// too old, the trouble is that of every tenant.
#[derive(Default)]
pub(super) struct Told {
    findings: Vec<Finding>,
    more: usize,
}

impl Told {
    pub(super) fn push(&mut self, finding: Finding) {
        if self.findings.len() < TOLD {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        findings.into_iter().for_each(|finding| self.push(finding));
    }

    /// Counts some that nobody looked at closely.
    pub(super) fn leave_out(&mut self, count: usize) {
        self.more += count;
    }

    pub(super) fn finish(mut self) -> Vec<Finding> {
        if self.more > 0 {
            let last = self.findings.last().cloned();
            self.findings.extend(last.map(|last| Finding {
                what: format!("{} more of the same", self.more),
                mend: "mend those above, then run `tenantry doctor` again".to_owned(),
                ..last
            }));
        }
        self.findings
    }
}

/// The first few of some names, for a sentence: `` `a`, `b` and 7 more ``.
pub(super) fn named(names: &[String], count: usize) -> String {
    let shown: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match count.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_many_is_told_of_a_few() {
        let mut told = Told::default();
        for number in 0..TOLD + 5 {
            let what = format!("number {number}");
            told.push(Finding::error(Check::Drift, &Alias::default(), what, "so").mend_by("x"));
        }
        let findings = told.finish();
        assert_eq!(findings.len(), TOLD + 1);
        assert_eq!(findings[TOLD].what, "5 more of the same");
        assert_eq!(findings[TOLD].mend, "mend those above, then run `tenantry doctor` again");
    }

    #[test]
    fn names_that_are_left_out_are_counted() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(named(&names, 2), "`a`, `b`");
        assert_eq!(named(&names, 9), "`a`, `b` and 7 more");
    }
}
