-- Who deletes an account may bring it back for an hour, by a link that nobody else was given.
CREATE TABLE farewell (
    token       uuid        NOT NULL DEFAULT gen_random_uuid(),
    tenant      uuid        NOT NULL,
    purge_after timestamptz NOT NULL,
    valid_until timestamptz NOT NULL DEFAULT now() + interval '1 hour',
    CONSTRAINT farewell_pkey PRIMARY KEY (token)
);
COMMENT ON COLUMN farewell.purge_after IS 'Tells this deletion from a later one, which the link does not undo.';
