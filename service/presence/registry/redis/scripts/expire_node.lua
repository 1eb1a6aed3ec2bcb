-- Expire a node whose lease is over; take over some of its users, and its pending notifications.
-- ARGV: prefix, node, how many users.
-- Returns whether there may be more, then each user that is pending on this node now, and when they were last active.
local expired = redis.call('ZRANGEBYSCORE', nodes, '-inf', string.format('(%.3f', now), 'LIMIT', 0, 1)[1]
if expired then
    redis.call('ZREM', nodes, expired)
    local tombstone = string.format('%.6f %s', now, expired) -- it may return, and expire again
    for from, to in pairs({['node:'] = 'orphaned:', ['to_notify:'] = 'inherited:'}) do
        if redis.call('EXISTS', prefix .. from .. expired) == 1 then
            redis.call('RENAME', prefix .. from .. expired, prefix .. to .. tombstone)
            redis.call('SADD', tombstones, tombstone)
        end
    end
end
local tombstone = redis.call('SRANDMEMBER', tombstones)
if not tombstone then return {expired and 1 or 0} end
local taken = {1}
local function take(user, at)
    set_pending(user, at)
    taken[#taken + 1] = user
    taken[#taken + 1] = at
end
local users = redis.call('SPOP', prefix .. 'orphaned:' .. tombstone, tonumber(ARGV[3]))
for _, user in ipairs(users) do
    if release(user) then take(user, leave(user)) end
end
if #users == 0 then
    users = redis.call('SPOP', prefix .. 'inherited:' .. tombstone, tonumber(ARGV[3]))
    for _, user in ipairs(users) do
        local who, at = owner(user)
        if who == string.match(tombstone, '^%S+ (.*)$') then take(user, at) end
    end
end
if #users == 0 then redis.call('SREM', tombstones, tombstone) end
return taken
