-- The customers share no table.
SELECT 1;
