use std::str::FromStr;

use anyhow::Context as _;
use serde_json::json;
use tenantry::Tenancy;
use tenantry::registry::MoveMethod;
use tenantry::tenant::Node;
use tenantry::tenant::{Alias, Tenant};

use super::show;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Format, note};

/// A place that a tenant goes to.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    Database(Alias),
    Node(Node),
}

impl FromStr for Destination {
    type Err = String;

    /// The alias of a database has no colon, and a node has one.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(':') {
            text.parse().map(Self::Node).map_err(|error: tenantry::tenant::InvalidNode| error.to_string())
        } else {
            Alias::parse(text).map(Self::Database).map_err(|error| error.to_string())
        }
    }
}

/// Returns what was asked for. Between nodes there is no third way, which would tell of both.
pub(super) fn method_of(is_online: bool, is_offline: bool) -> Result<MoveMethod, Failure> {
    match (is_online, is_offline) {
        (true, _) => Ok(MoveMethod::Online),
        (_, true) => Ok(MoveMethod::Offline),
        _ => Err(Failure::usage("a node is named, and neither `--online` nor `--offline`").with_hint(
            "`--online` has the tenant read and written meanwhile, `--offline` keeps writers out",
        )),
    }
}

/// Moves a tenant to another node of its cluster. Once interrupted, the server undoes it.
pub(super) async fn move_to_node(
    cx: &mut Context,
    tenancy: &Tenancy,
    tenant: &Tenant,
    node: &Node,
    method: MoveMethod,
) -> anyhow::Result<()> {
    let moved = tenancy.move_to_node(tenant, node, method).await?;
    let (slug, to, format) = (moved.tenant.slug(), &moved.to, cx.output.format());
    note(
        format,
        &match &moved.from {
            None => format!("tenant {slug} is on node {to} already"),
            Some(from) => format!("moved tenant {slug} from {from} to {to} in {} ms", moved.took.as_millis()),
        },
    );
    match format {
        Format::Table => show::print(cx, tenancy, &moved.tenant).await,
        Format::Json => {
            let mut json = serde_json::to_value(&moved.tenant).context("a tenant is a JSON object")?;
            json["from"] = json!(moved.from.map(|node| node.to_string()));
            json["to"] = json!(moved.to.to_string());
            json["took_ms"] = json!(u64::try_from(moved.took.as_millis()).unwrap_or(u64::MAX));
            cx.output.json(&json);
            Ok(())
        }
    }
}
