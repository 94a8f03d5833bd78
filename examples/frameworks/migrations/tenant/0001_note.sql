-- Every tenant has its own table. No column says whose note it is: the schema does.
CREATE TABLE note (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL
);
