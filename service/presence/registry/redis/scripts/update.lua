-- Register users on this node, and deregister others.
-- ARGV: prefix, node, epoch, now, seconds in which nodes register again after data were lost, number of joins, joins...,
-- leaves...
-- Returns 1 within those seconds, else 0; how many users joined; the users who joined; the users who left. Returns nil if
-- this node is not registered, or its epoch is not the server's.
if not redis.call('ZSCORE', nodes, node) or redis.call('HGET', state, 'epoch') ~= ARGV[3] then return false end
local lost = tonumber(redis.call('HGET', state, 'lost') or '0')
local reply = {now < lost + tonumber(ARGV[5]) and 1 or 0, 0}
local last_join = 6 + tonumber(ARGV[6])
for i = 7, last_join do
    local user = ARGV[i]
    if redis.call('SADD', own_users, user) == 1 and redis.call('HINCRBY', holders, user, 1) == 1 then
        reply[#reply + 1] = user
        own_notification(user, ARGV[4])
    end
    redis.call('HSET', activity, user, ARGV[4])
end
reply[2] = #reply - 2
for i = last_join + 1, #ARGV do
    local user = ARGV[i]
    if redis.call('SREM', own_users, user) == 1 and release(user) then
        reply[#reply + 1] = user
        own_notification(user, set_offline(user))
    end
end
return reply
