-- Every other script begins with this.
-- KEYS: nodes (sorted set: nodes by the end of their lease), holders (hash: how many nodes have registered each user),
-- activity (hash: when each online user was last active), tombstones (set: dead nodes whose users are not all released),
-- state (hash: epoch, heard = when a node last renewed, lost = when the server's data were lost), pending (hash: for each
-- user with a pending notification, when they were last active and the node that owns it, which must notify friends).
-- ARGV: the prefix of all keys, this node's name.
local nodes, holders, activity, tombstones, state, pending = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local prefix, node = ARGV[1], ARGV[2]
-- This node's users, and the users whose pending notifications it owns.
local own_users, own_pending = prefix .. 'node:' .. node, prefix .. 'pending:' .. node
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

-- One node less has registered the user. Returns true if none is left.
local function release(user)
    if redis.call('HINCRBY', holders, user, -1) > 0 then return false end
    redis.call('HDEL', holders, user)
    return true
end

-- The user is offline. Returns when they were last active.
local function set_offline(user)
    local last_active = redis.call('HGET', activity, user) or string.format('%.3f', now)
    redis.call('HDEL', activity, user)
    return last_active
end

-- This node owns the user's pending notification from now on, and replaces an older one of another node.
local function own_notification(user, last_active)
    redis.call('HSET', pending, user, last_active .. ' ' .. node)
    redis.call('SADD', own_pending, user)
end

-- The node that owns the user's pending notification, and when the user was last active; nil if there is none.
local function owner_of(user)
    local last_active, owner = string.match(redis.call('HGET', pending, user) or '', '^(%S+) (.*)$')
    return owner, last_active
end
