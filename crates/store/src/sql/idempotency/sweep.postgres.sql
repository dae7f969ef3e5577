DELETE FROM bindings WHERE (workspace, route, key) IN (
    SELECT workspace, route, key FROM bindings WHERE expires_at <= $1
    ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED)
