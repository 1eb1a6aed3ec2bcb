-- The beginning of every script. KEYS: nodes (by the end of their lease), holders (number of nodes of each user),
-- activity (when each user was last active), tombstones (expired nodes whose users are not taken over yet), state (epoch,
-- heard, lost), pending (users who joined or left: when they were last active, and which node has to notify).
-- ARGV: the prefix of keys, this node's name.
local nodes, holders, activity, tombstones, state, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local prefix, node = ARGV[1], ARGV[2]
local own, to_notify = prefix .. 'node:' .. node, prefix .. 'to_notify:' .. node
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

-- Unregister a user from one node; true if it was the last.
local function release(user)
    if redis.call('HINCRBY', holders, user, -1) > 0 then return false end
    redis.call('HDEL', holders, user)
    return true
end

-- A user has left: they are on no node. Returns when they were last active.
local function leave(user)
    local at = redis.call('HGET', activity, user) or string.format('%.3f', now)
    redis.call('HDEL', activity, user)
    return at
end

-- This node has to notify for a user from now on; older pending entries of other nodes are void.
local function set_pending(user, at)
    redis.call('HSET', pending, user, at .. ' ' .. node)
    redis.call('SADD', to_notify, user)
end

-- Which node has to notify for a user, and when they were last active; nil if nothing is pending.
local function owner(user)
    local at, who = string.match(redis.call('HGET', pending, user) or '', '^(%S+) (.*)$')
    return who, at
end
