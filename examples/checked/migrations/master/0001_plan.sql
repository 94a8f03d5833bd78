CREATE TABLE plan (
    name text PRIMARY KEY,
    -- Null where there is no limit.
    max_open integer
);
INSERT INTO plan VALUES ('free', 2), ('pro', NULL);

-- To all tenants. Each has a table of this name, too.
CREATE TABLE notice (
    text text NOT NULL,
    posted_on date NOT NULL DEFAULT current_date
);
