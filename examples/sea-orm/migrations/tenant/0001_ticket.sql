CREATE TYPE mood AS ENUM ('calm', 'urgent', 'closed');

CREATE TABLE ticket (
    id bigserial PRIMARY KEY,
    title text NOT NULL,
    mood mood NOT NULL
);

CREATE TABLE comment (
    id bigserial PRIMARY KEY,
    ticket_id bigint NOT NULL REFERENCES ticket,
    body text NOT NULL CHECK (body <> '')
);

CREATE INDEX comment_ticket_id_idx ON comment (ticket_id);
