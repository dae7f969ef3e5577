-- Whoever was not heard of for a while gives no answer any more: what it had open is lost.
WITH gone AS (
    DELETE FROM processes WHERE id = $1 OR seen_at < now() - interval '15 seconds' RETURNING id)
UPDATE unacknowledged SET answer = 'lost' FROM gone WHERE answer = 'open' AND answer_by = gone.id
