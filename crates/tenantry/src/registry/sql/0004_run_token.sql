-- Every database: which run may change schemas here. Each of its transactions looks, so one that was taken
-- over stops at its next tenant, although it cannot know that it lost its lock.
CREATE TABLE tenantry.run_token (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    token   uuid    NOT NULL
);
