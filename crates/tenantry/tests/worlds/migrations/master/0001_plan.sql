CREATE TABLE plan (id integer PRIMARY KEY, name text NOT NULL);
INSERT INTO plan VALUES (1, 'free'), (2, 'paid');
