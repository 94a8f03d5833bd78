use super::noted::Noted;
use crate::provision::Proof;
use crate::tenant::{Alias, SchemaName, Slug, TypeName};

/// A choice of schemas that are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaChoice {
    /// The schemas whose names are like this pattern of SQL, such as `tenant_%`.
    Like(String),
    /// The schemas of these names, as far as they are there.
    Named(Vec<SchemaName>),
}

/// A schema that may become a tenant's, compared with what the files make.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Adoptable {
    /// The schema, which nobody owns.
    pub schema: SchemaName,
    /// The database in which it is.
    pub database: Alias,
    /// The type that its tenant will have, with whose files it was compared.
    #[serde(rename = "type")]
    pub type_name: Option<TypeName>,
    /// The slug that its name suggests, if it is a legal one.
    pub slug: Option<Slug>,
    /// The number of tables in it.
    pub tables: i64,
    /// The tool that has noted what was applied to it.
    pub tool: Option<String>,
    /// The table in which it has.
    pub ledger: Option<String>,
    /// The newest version that is noted there, as that tool writes it.
    pub noted: Option<String>,
    /// The version whose files make what is in the schema, no more and no less: the one that the tool has noted, if it
    /// is among those, or else the newest. `None` also for a schema in which there is nothing yet.
    pub version: Option<i64>,
    /// Other versions of which the same is true, the newest first. They differ in rows, which nobody compares.
    pub also: Vec<i64>,
    /// The version that is nearest, if none is equal: the one that the tool has noted, or else the one with the fewest
    /// differences.
    pub nearest: Option<i64>,
    /// The differences from what the files make at the nearest version.
    pub differences: Vec<String>,
    /// The reason why it could not be compared.
    pub unknown: Option<String>,
    /// Owners and privileges that are others than the files make, which keeps no schema from being adopted. Where it is
    /// not known what they make: objects of other owners, and privileges of further roles.
    pub notes: Vec<String>,
    /// The statements that make owners and privileges what the files make, for the role that migrates, as far as that
    /// may do so.
    pub mend: Option<String>,
    /// True if owners and privileges were compared with what the files make.
    #[serde(skip)]
    pub(super) is_permission_known: bool,
    /// The structure that it had when it was found to be equal.
    #[serde(skip)]
    pub(super) proof: Option<Proof>,
}

impl Adoptable {
    pub(super) fn new(
        schema: &SchemaName,
        (database, type_name): (&Alias, Option<&TypeName>),
        choice: &SchemaChoice,
        tables: i64,
        noted: Option<&Noted>,
    ) -> Self {
        Self {
            schema: schema.clone(),
            database: database.clone(),
            type_name: type_name.cloned(),
            slug: suggested(schema.as_str(), choice),
            tables,
            tool: noted.map(|noted| noted.tool.to_owned()),
            ledger: noted.map(|noted| noted.ledger.clone()),
            noted: noted.and_then(|noted| noted.version.clone()),
            version: None,
            also: Vec::new(),
            nearest: None,
            differences: Vec::new(),
            unknown: None,
            notes: Vec::new(),
            mend: None,
            is_permission_known: false,
            proof: None,
        }
    }
}

/// The part of a name that the pattern leaves open, as a slug: `acme` of `tenant_acme`, where all are like `tenant_%`.
fn suggested(schema: &str, choice: &SchemaChoice) -> Option<Slug> {
    let (before, behind) = match choice {
        SchemaChoice::Like(pattern) => pattern.split_once('%').unwrap_or_default(),
        SchemaChoice::Named(_) => ("", ""),
    };
    // In a pattern a backslash takes the meaning away from what follows.
    let (before, behind) = (before.replace('\\', ""), behind.replace('\\', ""));
    let open = schema.strip_prefix(&before).unwrap_or(schema);
    let open = open.strip_suffix(&behind).unwrap_or(open);
    let dashed: String = open.chars().map(|it| if it.is_ascii_alphanumeric() { it } else { '-' }).collect();
    Slug::parse(dashed.trim_matches('-')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_a_pattern_leaves_open_is_the_slug() {
        for (pattern, schema, expect) in [
            ("tenant_%", "tenant_acme", Some("acme")),
            (r"tenant\_%", "tenant_acme_eu", Some("acme-eu")),
            ("%_prod", "Globex_prod", Some("globex")),
            ("%", "Acme's \"Own\"", Some("acme-s--own")),
            ("t%x", "tax", Some("a")),
            ("tenant_%", "tenant_", None),
            ("tenant_%", "tenant_é", None),
            ("acme", "acme", Some("acme")),
        ] {
            let choice = SchemaChoice::Like(pattern.to_owned());
            assert_eq!(suggested(schema, &choice).as_ref().map(Slug::as_str), expect, "{schema}");
        }
        assert_eq!(
            suggested("tenant_7", &SchemaChoice::Named(Vec::new())).as_ref().map(Slug::as_str),
            Some("tenant-7")
        );
    }
}
