-- So few rows that autovacuum leaves the tables of a thousand tenants alone while we measure.
CREATE TABLE note (id int PRIMARY KEY, title text NOT NULL);
INSERT INTO note SELECT n, 'Note ' || n FROM generate_series(1, 20) n;
CREATE TABLE tag (note_id int PRIMARY KEY REFERENCES note, name text NOT NULL);
