-- Who tried to sign up how often in an hour, so that nobody makes schemas without end.
CREATE TABLE sign_up_attempt (
    network  cidr        NOT NULL,
    hour     timestamptz NOT NULL,
    attempts integer     NOT NULL,
    CONSTRAINT sign_up_attempt_pkey PRIMARY KEY (network, hour)
);
