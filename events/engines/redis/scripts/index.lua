-- Reading the index. Part of the scripts that do.

local TAIL = 8  -- numbers looked at before others are searched for

-- The position of the first number above `after` in an index, which is below `high`, or `high` itself.
local function first_above(index, high, after)
    local function is_above(position)
        return (tonumber(redis.call('LINDEX', index, position)) or 0) > after
    end
    local step = TAIL
    local low = high - step
    while low >= 0 and is_above(low) do
        high, step = low, step * 4
        low = high - step
    end
    low = math.max(low, -1)
    while high - low > 1 do
        local middle = math.floor((low + high) / 2)
        if is_above(middle) then high = middle else low = middle end
    end
    return high
end

-- The numbers that the index of a routing key has above `after`, in order, the first `most`; none where another has put
-- something in its place, which is `damaged` then.
local function numbers_of(key, after, most)
    local found = {}
    if after < uncounted then  -- an earlier version's index was a stream
        local its = redis.pcall('XRANGE', prefix .. 'key:' .. key, text(after + 1), '+', 'COUNT', most)
        for i = 1, #its do found[i] = number_of(its[i]) end  -- none of an error
    end
    local index = prefix .. 'index:' .. key
    if #found >= most then return found end
    -- Those who come back were most often not away for long: what they want is at the end.
    local its = redis.pcall('LRANGE', index, -TAIL, -1)
    if its.err then
        put_index_aside(index)
        return found
    end
    if #its == TAIL and (tonumber(its[1]) or 0) > after then
        local first = first_above(index, redis.call('LLEN', index) - TAIL, after)
        its = redis.call('LRANGE', index, first, first + most - #found - 1)
    end
    for i = 1, #its do
        local number = tonumber(its[i])
        if number and number > after and #found < most then found[#found + 1] = number end
    end
    return found
end
