-- Every stripe there can be, so that whoever captures meanwhile waits, and then goes by the new reset.
INSERT INTO key_standings (key, stripe, in_flight, held, captured, counted_from, limit_reset)
SELECT $1, stripe, 0, 0, 0, 0, $2 FROM generate_series(0, $3::smallint - 1) AS stripe ORDER BY stripe
ON CONFLICT (key, stripe) DO UPDATE SET limit_reset = excluded.limit_reset
