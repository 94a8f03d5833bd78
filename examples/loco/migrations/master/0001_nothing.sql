-- The tables of the master are made by Loco, from `migration/`.
SELECT 1;
