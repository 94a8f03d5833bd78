//! The verbs of a tenant's life, one file each.
//!
//! A verb is a list of steps, each with what undoes it. What one transaction can hold is one, together with its
//! entry in the audit; what takes several is entered before the first of them, and the same call goes on with it.
//! So whoever dies on the way leaves all of it, nothing, or what the same verb finishes.
//!
//! Making a tenant is [`provision`](crate::provision)'s work, and nothing here serves requests.

mod suspend;

pub(crate) use self::suspend::{resume, suspend};
