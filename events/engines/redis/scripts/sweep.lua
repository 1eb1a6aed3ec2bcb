-- Removing events and what the index has of them, oldest first. Part of the scripts that do.
-- The list `kept` has `number bytes`, then a line for each routing key, of every event that is kept.
local kept = prefix .. 'kept'
local SWEEP_EVENTS = 64   -- events removed at once: together they cost less
local SWEEP_BYTES = 4096  -- of what `kept` has of them: events for very many users cost by their keys

-- Take the oldest `numbers`, up to `upto`, out of the index of a routing key.
local function remove_from_index(key, numbers, upto)
    local index = prefix .. 'index:' .. key
    local popped = redis.call('LPOP', index, numbers + 1)  -- one more, to see whether it was the last
    if not popped then return end
    local last = #popped
    while last > 0 and (tonumber(popped[last]) or 0) > upto do
        redis.call('LPUSH', index, popped[last])
        last = last - 1
    end
    if last == #popped and last <= numbers then bytes = bytes - INDEX_BYTES - 2 * #key end
end

-- Remove some of the oldest events, up to a number; the caller trims the stream. What that costs: an event costs 1, and 1
-- for each of its routing keys. No more than `most` of it, but one event at least.
local function sweep(upto, most)
    local oldest = redis.call('LINDEX', kept, 0) or ''
    local wanted = math.min(SWEEP_EVENTS, upto - swept, math.floor(SWEEP_BYTES / (#oldest + 1)) + 1)
    local entries = redis.call('LPOP', kept, wanted) or {}
    local done, cost, counts = 0, 0, {}
    for i = 1, #entries do
        local number, size, keys = string.match(entries[i], '^(%d+) (%d+)(.*)$')
        number = tonumber(number)
        if cost >= most or (number and number > upto) then break end
        cost = cost + 1
        if number then  -- else it is none of ours
            if number > uncounted then bytes = math.max(0, bytes - tonumber(size)) end
            for key in string.gmatch(keys, '[^\n]+') do
                counts[key] = (counts[key] or 0) + 1
                cost = cost + 1
            end
            swept = number
        end
        done = i
    end
    for i = #entries, done + 1, -1 do redis.call('LPUSH', kept, entries[i]) end
    if done < wanted and cost < most then swept = upto end  -- numbers were left out
    count = math.max(0, count - done)
    for key, numbers in pairs(counts) do
        pcall(remove_from_index, key, numbers, swept)  -- what another has put there is not ours to remove
    end
    bytes = math.max(0, bytes)
    floor = math.max(floor, swept)
    return math.max(cost, 1)
end

-- Remove what is past its limits: what the floor has risen over, and the oldest until the rest takes `max_bytes` or less.
-- No more than what costs about `most`, for the server does nothing else meanwhile: the next call goes on.
local function remove_old(max_bytes, most)
    local before = swept
    local due = floor - swept >= SWEEP_EVENTS
    while most > 0 and swept < head and ((due and swept < floor) or bytes > max_bytes) do
        most = most - sweep(bytes > max_bytes and head or floor, most)
    end
    if swept > before then redis.call('XTRIM', events, 'MINID', '~', text(swept + 1)) end
end
