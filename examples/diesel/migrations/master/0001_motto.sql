-- What all libraries share.
CREATE TABLE motto (words text NOT NULL);
