-- The default database: how a tenant is moved, and what that has changed where it was.
ALTER TABLE tenantry.move
    ADD COLUMN method text NOT NULL DEFAULT 'offline' CHECK (method IN ('offline', 'online')),
    -- The tables whose rows are told by all that is in them, until the move has ended.
    ADD COLUMN full_identity text[] NOT NULL DEFAULT '{}',
    DROP CONSTRAINT move_step_check,
    -- Served in the target, a tenant may have left something of the move where it was.
    ADD CONSTRAINT move_step_check CHECK
        (step IN ('planned', 'made', 'fenced', 'closed', 'flipped', 'done', 'undone'));
