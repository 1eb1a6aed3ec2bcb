-- Register users on this node, and unregister others. ARGV: prefix, node, epoch, now, seconds that nodes have to register
-- again after a loss, number of joins, joins..., leaves...
-- Returns whether those seconds are not over, how many joined, who joined..., who left...; nil if the node is not known.
if not redis.call('ZSCORE', nodes, node) or redis.call('HGET', state, 'epoch') ~= ARGV[3] then return false end
local lost = tonumber(redis.call('HGET', state, 'lost') or '0')
local changes = {now < lost + tonumber(ARGV[5]) and 1 or 0, 0}
local last = 6 + tonumber(ARGV[6])
for i = 7, last do
    local user = ARGV[i]
    if redis.call('SADD', own, user) == 1 and redis.call('HINCRBY', holders, user, 1) == 1 then
        changes[#changes + 1] = user
        set_pending(user, ARGV[4])
    end
    redis.call('HSET', activity, user, ARGV[4])
end
changes[2] = #changes - 2
for i = last + 1, #ARGV do
    local user = ARGV[i]
    if redis.call('SREM', own, user) == 1 and release(user) then
        changes[#changes + 1] = user
        set_pending(user, leave(user))
    end
end
return changes
