-- The same table as a tenant has, for what is measured without tenancy.
CREATE TABLE note (id int PRIMARY KEY, title text NOT NULL);
INSERT INTO note SELECT n, 'Note ' || n FROM generate_series(1, 20) n;
