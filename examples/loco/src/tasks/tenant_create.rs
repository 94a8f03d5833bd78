//! Makes a tenant: `cargo loco task tenant:create slug:acme`.

use loco_rs::prelude::*;
use tenantry::NewTenant;

use crate::initializers::tenancy::tenancy;

pub struct TenantCreate;

#[async_trait]
impl Task for TenantCreate {
    fn task(&self) -> TaskInfo {
        TaskInfo { name: "tenant:create".to_owned(), detail: "Make a tenant, slug:acme".to_owned() }
    }

    async fn run(&self, ctx: &AppContext, vars: &task::Vars) -> Result<()> {
        let new = NewTenant::new(vars.cli_arg("slug")?);
        let tenant = tenancy(ctx).await?.create(new).await.map_err(Error::wrap)?;
        println!("{} is at {}.", tenant.slug(), tenant.schema());
        Ok(())
    }
}
