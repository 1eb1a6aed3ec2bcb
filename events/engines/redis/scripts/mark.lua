-- Tell the node how far the store is, on the way that events take too: once it hears this, it has heard all before.
-- ARGV: prefix, the node's channel, now in ms, max age in ms, most events, by what the node knows this mark.
raise_floor(time_of(ARGV[3]), tonumber(ARGV[4]))
floor = math.max(floor, head - tonumber(ARGV[5]))
if epoch and floor > tonumber(state[3] or '0') then
    redis.call('XTRIM', events, 'MINID', '~', text(floor + 1))
    redis.pcall('HSET', meta, 'floor', text(floor))  -- refused by a server that is full
end
redis.call('PUBLISH', ARGV[2], text(head) .. ' ' .. ARGV[6])
return {epoch or '', head, floor}
