-- What the other scripts begin with. KEYS: nodes (by the end of their lease), holders (how many nodes hold each user),
-- activity (when each was last active), graves (dead nodes whose users are not told of yet), state (epoch, heard).
-- ARGV: what keys begin with, this node's name.
local nodes, holders, activity, graves, state = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local prefix, node = ARGV[1], ARGV[2]
local own = prefix .. 'node:' .. node
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

-- One node holds a user no more; whether that was the last.
local function release(user)
    if redis.call('HINCRBY', holders, user, -1) > 0 then return false end
    redis.call('HDEL', holders, user)
    return true
end
