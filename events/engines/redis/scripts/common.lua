-- What the other scripts begin with. KEYS: the store's hash, its stream of events.
-- Of the hash: epoch, head (newest number), floor (gone up to this number), latest (time of the newest, ms), set_back_at
-- (when it was seen that the server's clock had been set back, ms; 0 if it never was).
local meta, events, prefix = KEYS[1], KEYS[2], ARGV[1]
local state = redis.call('HMGET', meta, 'epoch', 'head', 'floor', 'latest', 'set_back_at')
local epoch = state[1]
local head, floor, latest = tonumber(state[2] or '0'), tonumber(state[3] or '0'), tonumber(state[4] or '0')
local set_back_at = tonumber(state[5] or '0')
local CLOCK_SLACK = 60000  -- ms by which clocks may differ

local function text(number)  -- Lua would write large ones as 1e+15
    return string.format('%.0f', number)
end

-- A node's time in ms: not before the newest event, nor far ahead of the server, or one wrong clock would age everything.
-- Where the newest event is far ahead of the server, the server's own clock was set back.
local function time_of(now)
    local most = tonumber(redis.call('TIME')[1]) * 1000 + CLOCK_SLACK
    now = math.min(tonumber(now), most)
    if latest <= most then return math.max(now, latest) end
    latest, set_back_at = now, now
    redis.pcall('HSET', meta, 'latest', text(now), 'set_back_at', text(now))
    return now
end

-- Whether what carries a time that is yet to come was there at *time*: since then it ages.
local function is_ahead_since(time)
    return set_back_at > 0 and set_back_at <= time
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
        local is_old = tonumber(time) <= now - max_age
        if not is_old and not (tonumber(time) > now + CLOCK_SLACK and is_ahead_since(now - max_age)) then break end
        floor = math.max(floor, tonumber(number))
        redis.call('LPOP', prefix .. 'ages')
    end
end
