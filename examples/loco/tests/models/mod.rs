//! The tables that entities find, and on which connection.

mod notes;
