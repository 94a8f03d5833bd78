CREATE TYPE genre AS ENUM ('crime', 'history', 'poetry');

CREATE TABLE book (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL CONSTRAINT book_has_title CHECK (title <> ''),
    genre genre NOT NULL
);

CREATE TABLE loan (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    book_id bigint NOT NULL UNIQUE REFERENCES book,
    reader  text NOT NULL
);
