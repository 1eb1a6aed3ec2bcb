-- A node has connected. ARGV: prefix, the epoch and head it knows ('' and 0 at first), the server's run id, a new epoch
-- in case that one is needed, how many past epochs are remembered.
-- The store is another one when it was never there. When the server was started anew, or has less than a node has
-- seen, nobody can say what it forgot: what it has is a beginning of what it had. So a new epoch begins there,
-- and the store remembers up to which number it is the one of the epoch before.
local restarted = redis.call('HGET', meta, 'run_id') ~= ARGV[4]
local known = tonumber(ARGV[3])
local past = prefix .. 'epochs'
if not epoch then
    redis.call('DEL', past)
    epoch = nil
elseif restarted or (epoch == ARGV[2] and head < known) then
    redis.call('RPUSH', past, text(head) .. ':' .. epoch)
    redis.call('LTRIM', past, -tonumber(ARGV[6]), -1)
    epoch = nil
end
if not epoch then
    epoch = ARGV[5]
    head = math.max(head, known)
end
redis.call('HSET', meta, 'epoch', epoch, 'head', text(head), 'floor', text(floor), 'run_id', ARGV[4])
return {epoch, head, floor, redis.call('LRANGE', past, 0, -1)}
