-- Bury a node whose lease is over; take some users from a grave. ARGV: prefix, node, how many users.
-- Answers how many were taken, then each who is nowhere else, and when they were last active.
local dead = redis.call('ZRANGEBYSCORE', nodes, '-inf', string.format('(%.3f', now), 'LIMIT', 0, 1)[1]
if dead then
    redis.call('ZREM', nodes, dead)
    if redis.call('EXISTS', prefix .. 'node:' .. dead) == 1 then
        redis.call('RENAME', prefix .. 'node:' .. dead, prefix .. 'grave:' .. dead)
        redis.call('SADD', graves, dead)
    end
end
local grave = redis.call('SRANDMEMBER', graves)
if not grave then return {dead and 1 or 0} end
local users = redis.call('SPOP', prefix .. 'grave:' .. grave, tonumber(ARGV[3]))
local told = {math.max(1, #users)}
for _, user in ipairs(users) do
    if release(user) then
        told[#told + 1] = user
        told[#told + 1] = redis.call('HGET', activity, user) or string.format('%.3f', now)
        redis.call('HDEL', activity, user)
    end
end
if redis.call('EXISTS', prefix .. 'grave:' .. grave) == 0 then redis.call('SREM', graves, grave) end
return told
