-- What a process had to answer is lost with it; unless it was heard of again meanwhile, or leaves ($2). $3 as in jobs/look.
WITH gone AS (
    DELETE FROM processes WHERE id = $1 AND ($2 OR seen_at < now() - make_interval(secs => $3)) RETURNING id)
UPDATE unacknowledged SET answer = 'lost' FROM gone WHERE answer = 'open' AND answer_by = $1
