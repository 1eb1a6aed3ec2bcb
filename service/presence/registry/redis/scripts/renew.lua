-- Renew the lease of this node. ARGV: prefix, node, seconds of a lease, an epoch for an empty registry, the epoch that the
-- node knows ('' for none), seconds that nodes have to register again after a loss, seconds that they have to return after
-- an outage of the server.
-- Returns the epoch, whether the node was known, and how many ms of those seconds are left.
local lease = tonumber(ARGV[3])
redis.call('HSETNX', state, 'epoch', ARGV[4])
local epoch = redis.call('HGET', state, 'epoch')
if ARGV[5] ~= '' and ARGV[5] ~= epoch then
    redis.call('HSETNX', state, 'lost', string.format('%.3f', now))
end
local lost = tonumber(redis.call('HGET', state, 'lost') or '0')
local heard = tonumber(redis.call('HGET', state, 'heard') or now)
if now - heard > lease / 2 then
    -- No node could renew: the server was probably away, and nodes alive at the last renewal may be alive still.
    -- They get less than half a lease, so that a silent node does not seem alive at the next outage.
    local until_ = string.format('%.3f', now + tonumber(ARGV[7]))
    for _, other in ipairs(redis.call('ZRANGEBYSCORE', nodes, heard + lease / 2, until_)) do
        redis.call('ZADD', nodes, until_, other)
    end
end
redis.call('HSET', state, 'heard', string.format('%.3f', now))
local known = redis.call('ZSCORE', nodes, node)
redis.call('ZADD', nodes, now + lease, node)
return {epoch, known and 1 or 0, math.max(0, math.floor((lost + tonumber(ARGV[6]) - now) * 1000))}
