//! Refuses buckets in a program that was built without the feature `s3`.
use std::sync::Arc;

use object_store::ObjectStore;

use crate::failure::Failure;

/// Fails always.
pub(super) fn open(bucket: &str) -> anyhow::Result<Arc<dyn ObjectStore>> {
    let message = format!("this program was built without S3, and cannot open the bucket `{bucket}`");
    Err(Failure::usage(message).with_hint("build it with the feature `s3`, which is on by default").into())
}
