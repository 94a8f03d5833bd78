CREATE TABLE report (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL CHECK (title <> ''),
    text text,
    -- How often its job was done. A job may run twice, so in earnest this would be `WHERE text IS NULL`.
    runs int NOT NULL DEFAULT 0
);
