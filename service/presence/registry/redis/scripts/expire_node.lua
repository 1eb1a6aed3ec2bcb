-- Remove a node whose lease has expired: its sets become those of a tombstone. Then release some users of a tombstone, and
-- take over their notifications; once all are released, take over the dead node's own pending ones.
-- ARGV: prefix, node, how many users.
-- Returns 1 if there may be more, else 0; then each user whose notification this node owns now, and when they were last
-- active.
local dead = redis.call('ZRANGEBYSCORE', nodes, '-inf', string.format('(%.3f', now), 'LIMIT', 0, 1)[1]
if dead then
    redis.call('ZREM', nodes, dead)
    local tombstone = string.format('%.6f %s', now, dead) -- with the time: the node may come back, and die again
    for from, to in pairs({['node:'] = 'tombstone:', ['pending:'] = 'orphaned:'}) do
        if redis.call('EXISTS', prefix .. from .. dead) == 1 then
            redis.call('RENAME', prefix .. from .. dead, prefix .. to .. tombstone)
            redis.call('SADD', tombstones, tombstone)
        end
    end
end
local tombstone = redis.call('SRANDMEMBER', tombstones)
if not tombstone then return {dead and 1 or 0} end
local reply = {1}
local function take_over(user, last_active)
    own_notification(user, last_active)
    reply[#reply + 1] = user
    reply[#reply + 1] = last_active
end
local users = redis.call('SPOP', prefix .. 'tombstone:' .. tombstone, tonumber(ARGV[3]))
for _, user in ipairs(users) do
    if release(user) then take_over(user, set_offline(user)) end
end
if #users == 0 then
    users = redis.call('SPOP', prefix .. 'orphaned:' .. tombstone, tonumber(ARGV[3]))
    for _, user in ipairs(users) do
        local owner, last_active = owner_of(user)
        if owner == string.match(tombstone, '^%S+ (.*)$') then take_over(user, last_active) end
    end
end
if #users == 0 then redis.call('SREM', tombstones, tombstone) end
return reply
