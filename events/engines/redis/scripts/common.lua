-- What the other scripts begin with. KEYS: the store's hash, its stream of events.
-- Of the hash: epoch, head (newest number), floor (gone up to this number), latest (time of the newest, ms).
local meta, events, prefix = KEYS[1], KEYS[2], ARGV[1]
local state = redis.call('HMGET', meta, 'epoch', 'head', 'floor', 'latest')
local epoch = state[1]
local head, floor, latest = tonumber(state[2] or '0'), tonumber(state[3] or '0'), tonumber(state[4] or '0')

local function text(number)  -- Lua would write large ones as 1e+15
    return string.format('%.0f', number)
end

-- A node's time in ms: not before the newest event, nor far ahead of the server, or one wrong clock would age everything.
local function time_of(now)
    return math.max(math.min(tonumber(now), tonumber(redis.call('TIME')[1]) * 1000 + 60000), latest)
end

local function number_of(entry)
    return tonumber(string.match(entry[1], '^%d+'))
end

-- Raise the floor over what has grown too old. `ages` is a list of `time:number`: events up to the number were
-- kept before the time.
local function raise_floor(now, max_age)
    while true do
        local oldest = redis.call('LINDEX', prefix .. 'ages', 0)
        if not oldest then break end
        local time, number = string.match(oldest, '^(%d+):(%d+)$')
        if tonumber(time) > now - max_age then break end
        floor = math.max(floor, tonumber(number))
        redis.call('LPOP', prefix .. 'ages')
    end
end
