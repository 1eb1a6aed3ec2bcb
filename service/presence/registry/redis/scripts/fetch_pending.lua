-- The pending notifications that this node owns. ARGV: prefix, node, cursor ('0' to begin), about how many users.
-- Returns the next cursor ('0' at the end), then each user and when they were last active.
local cursor, users = unpack(redis.call('SSCAN', own_pending, ARGV[3], 'COUNT', ARGV[4]))
local reply = {cursor}
for _, user in ipairs(users) do
    local owner, last_active = owner_of(user)
    if owner == node then
        reply[#reply + 1] = user
        reply[#reply + 1] = last_active
    end
end
return reply
