//! The words of the domain, as types that are valid because they exist.
//!
//! A [`Tenant`] is one customer: an id, a [`Slug`] the customer chose, a [`SchemaName`] nobody chose,
//! the [`Alias`] of the database it lives in and a [`Status`]. Text from outside becomes one of these
//! types once, at the edge, and is trusted from there on.
//!
//! Nothing here does I/O, renders SQL or knows where tenants are stored.
//!
//! | type | example | chosen by |
//! | --- | --- | --- |
//! | [`TenantId`] | `0192f0c1-…-5d4e3f2a1b0c` | nobody, it is random |
//! | [`Slug`] | `acme` | the customer, who may change it |
//! | [`TenantName`] | `Acme Ltd` | the customer, to be shown to people |
//! | [`DomainName`] | `notes.acme.com` | the customer, who owns it |
//! | [`SchemaName`] | `t_acme_4e3f2a1b0c` | Tenantry, and it never changes |
//! | [`Alias`] | `default` | the operator |
//! | [`TypeName`] | `pro` | the operator |
//! | [`Node`] | `worker-2:5432` | the operator, who added it to a cluster of Citus |
//! | [`Digest`] | `9f86d0…` | the migrations a schema has applied |

mod alias;
mod digest;
mod domain_name;
mod for_tenant;
mod key;
mod name;
mod node;
mod record;
mod reserved_slugs;
mod schema_name;
mod settings;
mod slug;
mod status;
mod suspension;
mod tenant_id;
mod text;
mod type_name;
mod verb;

pub(crate) use self::settings::{SettingsChange, checked_settings};
pub use self::{
    alias::{Alias, InvalidAlias},
    digest::{Digest, InvalidDigest},
    domain_name::{DomainName, InvalidDomainName},
    for_tenant::ForTenant,
    key::CacheKey,
    name::{InvalidTenantName, TenantName},
    node::{InvalidNode, Node},
    record::{NotServed, Tenant, TenantRecord},
    reserved_slugs::ReservedSlugs,
    schema_name::{InvalidSchemaName, SchemaName},
    settings::InvalidSettings,
    slug::{InvalidSlug, Slug},
    status::{InvalidStatus, Status},
    suspension::{InvalidSuspension, Suspension},
    tenant_id::TenantId,
    type_name::{InvalidTypeName, TypeName},
    verb::{InvalidVerb, Verb},
};
