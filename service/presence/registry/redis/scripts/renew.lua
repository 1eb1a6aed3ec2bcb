-- Renew this node's lease. ARGV: prefix, node, seconds of a lease, an epoch for a server that has none, the epoch that the
-- node knows ('' for none), seconds in which nodes register again after data were lost, seconds in which nodes come back
-- after the server was away.
-- Returns the server's epoch, 1 if the node was registered else 0, and the ms that are left to register again.
local lease = tonumber(ARGV[3])
redis.call('HSETNX', state, 'epoch', ARGV[4])
local epoch = redis.call('HGET', state, 'epoch')
if ARGV[5] ~= '' and ARGV[5] ~= epoch then
    redis.call('HSETNX', state, 'lost', string.format('%.3f', now))
end
local lost = tonumber(redis.call('HGET', state, 'lost') or '0')
local heard = tonumber(redis.call('HGET', state, 'heard') or now)
if now - heard > lease / 2 then
    -- No node could renew: the server was probably away. Nodes that were alive when one last renewed may still be alive, so
    -- extend their leases. By less than half a lease, or a dead node would be extended at the next outage again.
    local extended = string.format('%.3f', now + tonumber(ARGV[7]))
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', nodes, heard + lease / 2, extended)) do
        redis.call('ZADD', nodes, extended, other)
    end
end
redis.call('HSET', state, 'heard', string.format('%.3f', now))
local was_known = redis.call('ZSCORE', nodes, node)
redis.call('ZADD', nodes, now + lease, node)
return {epoch, was_known and 1 or 0, math.max(0, math.floor((lost + tonumber(ARGV[6]) - now) * 1000))}
