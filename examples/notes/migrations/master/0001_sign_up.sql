-- What belongs to no tenant lives in the master schema: here, who signed up and when.
CREATE TABLE sign_up (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug         text NOT NULL,
    signed_up_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX ON sign_up (signed_up_at);
