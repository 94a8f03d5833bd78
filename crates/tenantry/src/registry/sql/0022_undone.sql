-- Every database: the versions that were undone in a schema, and when. Its ledger forgets them, so the diary of a run that is
-- killed while it undoes files is completed from here. A version that is applied again stays in it; the ledger has it then.
ALTER TABLE tenantry.applied ADD COLUMN undone jsonb NOT NULL DEFAULT '{}';
