-- The pending users of this node. ARGV: prefix, node, a cursor ('0' to begin), about how many users.
-- Returns the next cursor ('0' at the end), then each user and when they were last active.
local cursor, users = unpack(redis.call('SSCAN', to_notify, ARGV[3], 'COUNT', ARGV[4]))
local found = {cursor}
for _, user in ipairs(users) do
    local who, at = owner(user)
    if who == node then
        found[#found + 1] = user
        found[#found + 1] = at
    end
end
return found
