CREATE TYPE ticket_state AS ENUM ('open', 'waiting', 'done');

CREATE TABLE ticket (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL,
    state ticket_state NOT NULL DEFAULT 'open',
    assignee text
);

-- To the people of this tenant.
CREATE TABLE notice (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text NOT NULL
);
