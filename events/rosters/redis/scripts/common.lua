-- What the other scripts begin with. KEYS: nodes (by the end of their lease), holders (how many nodes hold each user),
-- activity (when each was last active), graves (dead nodes whose users are not told of yet), state (epoch, heard, lost),
-- untold (users who came or are gone: when they were last active, and which node has yet to tell of it).
-- ARGV: what keys begin with, this node's name.
local nodes, holders, activity, graves, state, untold = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local prefix, node = ARGV[1], ARGV[2]
local own, owed = prefix .. 'node:' .. node, prefix .. 'owed:' .. node
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

-- One node holds a user no more; whether that was the last.
local function release(user)
    if redis.call('HINCRBY', holders, user, -1) > 0 then return false end
    redis.call('HDEL', holders, user)
    return true
end

-- A user is gone: nobody holds them. Answers when they were last active.
local function part(user)
    local at = redis.call('HGET', activity, user) or string.format('%.3f', now)
    redis.call('HDEL', activity, user)
    return at
end

-- This node has to tell of a user from now on; what another had to tell of them is old.
local function owe(user, at)
    redis.call('HSET', untold, user, at .. ' ' .. node)
    redis.call('SADD', owed, user)
end

-- Which node has to tell of a user, and when they were last active; nothing where all is told.
local function debtor(user)
    local at, who = string.match(redis.call('HGET', untold, user) or '', '^(%S+) (.*)$')
    return who, at
end
