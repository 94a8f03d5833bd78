-- Shared by all tenants.
CREATE TABLE plan (
    name text PRIMARY KEY
);
