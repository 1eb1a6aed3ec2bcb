-- What this node has yet to tell. ARGV: prefix, node, a cursor ('0' to begin), about how many users.
-- Answers the next cursor ('0' at the end), then each user, and when they were last active.
local cursor, users = unpack(redis.call('SSCAN', owed, ARGV[3], 'COUNT', ARGV[4]))
local told = {cursor}
for _, user in ipairs(users) do
    local who, at = debtor(user)
    if who == node then
        told[#told + 1] = user
        told[#told + 1] = at
    end
end
return told
