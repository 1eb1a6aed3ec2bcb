-- This node holds some, and others no more. ARGV: prefix, node, epoch, now, seconds that nodes have to say anew whom they
-- hold, how many joins, joins..., leaves...
-- Answers whether those seconds are not over, how many came, who came..., who is gone...; nothing where the node is not known.
if not redis.call('ZSCORE', nodes, node) or redis.call('HGET', state, 'epoch') ~= ARGV[3] then return false end
local lost = tonumber(redis.call('HGET', state, 'lost') or '0')
local told = {now < lost + tonumber(ARGV[5]) and 1 or 0, 0}
local last = 6 + tonumber(ARGV[6])
for i = 7, last do
    local user = ARGV[i]
    if redis.call('SADD', own, user) == 1 and redis.call('HINCRBY', holders, user, 1) == 1 then
        told[#told + 1] = user
        owe(user, ARGV[4])
    end
    redis.call('HSET', activity, user, ARGV[4])
end
told[2] = #told - 2
for i = last + 1, #ARGV do
    local user = ARGV[i]
    if redis.call('SREM', own, user) == 1 and release(user) then
        told[#told + 1] = user
        owe(user, part(user))
    end
end
return told
