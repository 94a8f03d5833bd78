//! The entities, which know nothing of tenants.

/// Something that a customer wants to have done.
pub mod ticket {
    use sea_orm::entity::prelude::*;
    use serde::{Deserialize, Serialize};

    /// The hurry that there is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[sea_orm(rs_type = "String", db_type = "Enum", enum_name = "mood", rename_all = "lowercase")]
    pub enum Mood {
        /// None.
        Calm,
        /// Some.
        Urgent,
        /// It is done.
        Closed,
    }

    /// A row.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
    #[sea_orm(table_name = "ticket")]
    pub struct Model {
        /// Its number, which other customers have as well.
        #[sea_orm(primary_key)]
        pub id: i64,
        /// One line.
        pub title: String,
        /// A label of the tenant's own type.
        pub mood: Mood,
    }

    /// The relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        /// Its comments.
        #[sea_orm(has_many = "super::comment::Entity")]
        Comment,
    }

    impl Related<super::comment::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Comment.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// Something that is said about a ticket.
pub mod comment {
    use sea_orm::entity::prelude::*;
    use serde::Serialize;

    /// A row.
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel, Serialize)]
    #[sea_orm(table_name = "comment")]
    pub struct Model {
        /// Its number.
        #[sea_orm(primary_key)]
        pub id: i64,
        /// The ticket.
        pub ticket_id: i64,
        /// The words.
        pub body: String,
    }

    /// The relations.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        /// Its ticket.
        #[sea_orm(
            belongs_to = "super::ticket::Entity",
            from = "Column::TicketId",
            to = "super::ticket::Column::Id"
        )]
        Ticket,
    }

    impl Related<super::ticket::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Ticket.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}
