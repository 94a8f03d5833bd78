use crate::tenant::Digest;

/// Stands in the file for the schema of the tenant that is made.
pub(super) const PLACEHOLDER: &str = "__tenant__";

/// The comments at the beginning of a baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaselineHead {
    pub(crate) version: i64,
    pub(crate) digest: Digest,
    /// The tables whose rows are part of it.
    pub(crate) rows: Vec<String>,
}

impl BaselineHead {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let comments = || text.lines().map_while(|line| line.strip_prefix("--")).map(str::trim);
        let value = |key: &str| comments().find_map(|comment| comment.strip_prefix(key)).map(str::trim);
        let version = value("version:")?.parse().ok()?;
        let digest = Digest::parse(value("digest:")?).ok()?;
        let rows = value("rows:").map_or(Some(Vec::new()), |list| serde_json::from_str(list).ok())?;
        Some(Self { version, digest, rows })
    }

    pub(super) fn render(&self, pg_dump_major: u32) -> String {
        let names: Vec<_> = self.rows.iter().map(|table| serde_json::Value::from(table.as_str())).collect();
        let rows = match names.as_slice() {
            [] => String::new(),
            names => format!("-- rows: {}\n", serde_json::Value::from(names)),
        };
        format!(
            "-- What the migrations up to this version make of an empty schema. New tenants start from it.\n\
             -- Made by `tenantry baseline`; `{PLACEHOLDER}` stands for the schema of the tenant.\n\
             --\n\
             -- version: {}\n\
             -- digest: {}\n\
             {rows}-- pg_dump: {pg_dump_major}\n",
            self.version, self.digest
        )
    }
}
