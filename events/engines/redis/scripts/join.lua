-- A node has connected. ARGV: prefix, the epoch and head it knows ('' and 0 at first), the server's run id,
-- 1 if the server writes down all that it is told, a new epoch in case that one is needed.
-- The store is another one when it was never there, when it has less than a node has seen, and when a server that
-- does not write everything down was started anew: nobody can say what it forgot.
local restarted = redis.call('HGET', meta, 'run_id') ~= ARGV[4]
local known = tonumber(ARGV[3])
if not epoch or (epoch == ARGV[2] and head < known) or (restarted and ARGV[5] ~= '1') then
    epoch = ARGV[6]
    head = math.max(head, known)
end
redis.call('HSET', meta, 'epoch', epoch, 'head', text(head), 'floor', text(floor), 'run_id', ARGV[4])
return {epoch, head, floor}
