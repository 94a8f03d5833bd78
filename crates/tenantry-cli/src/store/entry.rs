//! The outcome of one export, as the catalogue keeps it.
use serde::{Deserialize, Serialize};
use tenantry::tenant::TenantId;
use time::OffsetDateTime;

/// An entry of the catalogue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The slug that the tenant had.
    pub(crate) slug: String,
    pub(crate) id: TenantId,
    /// The run of the command that wrote it.
    pub(crate) run: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) begun_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) ended_at: OffsetDateTime,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The archive was written, and is whole.
    Done {
        version: Option<i64>,
        fingerprint: String,
        rows: u64,
        bytes: u64,
        sha256: String,
        /// True if it was read back, and every part of it compared.
        verified: bool,
    },
    Failed {
        error: String,
    },
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let id = TenantId::random();
        let entry = Entry {
            slug: "acme".to_owned(),
            id,
            run: "5f0c2a91".to_owned(),
            begun_at: OffsetDateTime::UNIX_EPOCH,
            ended_at: OffsetDateTime::UNIX_EPOCH,
            outcome: Outcome::Failed { error: "no".to_owned() },
        };
        let mut json = serde_json::to_value(&entry).expect("JSON");
        assert_eq!(json["outcome"], "failed");
        assert_eq!(json["id"], json!(id));
        // A newer version may write more.
        json["colour"] = "red".into();
        assert_eq!(serde_json::from_value::<Entry>(json).expect("an entry"), entry);
    }
}
