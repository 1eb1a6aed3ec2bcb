-- Tell the node how far the store is, on the way that events take too: once it hears this, it has heard all before.
-- ARGV: prefix, the node's channel, now in ms, max age in ms, most events, most bytes, by what the node knows this mark.
-- Answers: epoch ('' where the store has lost something, and must be joined again), head, floor, bytes.
local floor_before, marked_before, swept_before = floor, marked, swept
raise_floor(time_of(ARGV[3]), tonumber(ARGV[4]))
floor = math.max(floor, head - tonumber(ARGV[5]))
if epoch and is_damaged() then
    epoch = nil
elseif epoch then
    remove_old(tonumber(ARGV[6]), 2000)
    if floor > floor_before or marked > marked_before or swept > swept_before then
        -- Refused by a server that is full, unless something was removed.
        redis.pcall('HSET', meta, 'floor', text(floor), 'marked', text(marked), 'swept', text(swept), 'count', text(count), 'bytes', text(bytes))
    end
end
redis.call('PUBLISH', ARGV[2], text(head) .. ' ' .. ARGV[7])
return {epoch or '', head, floor, bytes}
