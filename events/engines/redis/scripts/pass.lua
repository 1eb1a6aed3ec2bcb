-- Tell of events that are not kept. ARGV: prefix, then for each event: how many routing keys, these, the message.
local at = 2
while at <= #ARGV do
    local count = tonumber(ARGV[at])
    for key = at + 1, at + count do
        redis.call('PUBLISH', prefix .. 'for:' .. ARGV[key], ARGV[at + count + 1])
    end
    at = at + count + 2
end
return at
