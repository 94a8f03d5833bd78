CREATE TABLE note (id bigserial PRIMARY KEY, title text NOT NULL);
