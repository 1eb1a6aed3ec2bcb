-- Bury a node whose lease is over; take from a grave some of its users, and what it had yet to tell.
-- ARGV: prefix, node, how many users.
-- Answers whether there may be more, then each of whom this node has to tell now, and when they were last active.
local dead = redis.call('ZRANGEBYSCORE', nodes, '-inf', string.format('(%.3f', now), 'LIMIT', 0, 1)[1]
if dead then
    redis.call('ZREM', nodes, dead)
    local grave = string.format('%.6f %s', now, dead) -- it may come back, and die again
    for from, to in pairs({['node:'] = 'grave:', ['owed:'] = 'will:'}) do
        if redis.call('EXISTS', prefix .. from .. dead) == 1 then
            redis.call('RENAME', prefix .. from .. dead, prefix .. to .. grave)
            redis.call('SADD', graves, grave)
        end
    end
end
local grave = redis.call('SRANDMEMBER', graves)
if not grave then return {dead and 1 or 0} end
local told = {1}
local function take(user, at)
    owe(user, at)
    told[#told + 1] = user
    told[#told + 1] = at
end
local users = redis.call('SPOP', prefix .. 'grave:' .. grave, tonumber(ARGV[3]))
for _, user in ipairs(users) do
    if release(user) then take(user, part(user)) end
end
if #users == 0 then
    users = redis.call('SPOP', prefix .. 'will:' .. grave, tonumber(ARGV[3]))
    for _, user in ipairs(users) do
        local who, at = debtor(user)
        if who == string.match(grave, '^%S+ (.*)$') then take(user, at) end
    end
end
if #users == 0 then redis.call('SREM', graves, grave) end
return told
