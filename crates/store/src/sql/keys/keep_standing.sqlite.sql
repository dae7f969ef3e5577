INSERT INTO key_standings (key, in_flight, held, captured, counted_from)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (key) DO UPDATE SET
    in_flight = excluded.in_flight, held = excluded.held, captured = excluded.captured,
    counted_from = excluded.counted_from
