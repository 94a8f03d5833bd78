CREATE TABLE plan (name text PRIMARY KEY);
