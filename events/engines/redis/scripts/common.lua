-- What the other scripts begin with. KEYS: the store's hash, its stream of events.
-- Of the hash: epoch, head (newest number), floor (gone up to this number), latest (time of the newest, ms), set_back_at
-- (when it was seen that the server's clock had been set back, ms; 0 if it never was), marked (time of the newest mark
-- of `ages`), swept (events up to this number were removed), count and bytes (of the others, as the list `kept` has them: how many,
-- and what memory they take, about), uncounted (events up to this number are not among those bytes), given_up (events
-- up to this number are not replayed, for something of them is missing).
-- The index of a routing key is a list of numbers in order, `index:KEY`.
local meta, events, prefix = KEYS[1], KEYS[2], ARGV[1]
local epoch, head, floor, latest, set_back_at, marked, swept, count, bytes, uncounted, given_up

local function load()
    local fields = redis.call('HMGET', meta, 'epoch', 'head', 'floor', 'latest', 'set_back_at', 'marked', 'swept', 'count', 'bytes', 'uncounted', 'given_up')
    epoch = fields[1]
    head, floor, latest = tonumber(fields[2] or 0), tonumber(fields[3] or 0), tonumber(fields[4] or 0)
    set_back_at, marked = tonumber(fields[5] or 0), tonumber(fields[6] or 0)
    swept, count = tonumber(fields[7] or 0), tonumber(fields[8] or 0)
    bytes, uncounted, given_up = tonumber(fields[9] or 0), tonumber(fields[10] or 0), tonumber(fields[11] or 0)
end

load()
local CLOCK_SLACK = 60000  -- ms by which clocks may differ
-- Bytes that Redis takes, measured: an event beside its body, a number in an index, an index beside the names of its key.
local EVENT_BYTES, ENTRY_BYTES, INDEX_BYTES = 40, 8, 160

local function text(number)  -- Lua would write large ones as 1e+15
    return string.format('%.0f', number)
end

-- The time in ms: the server's, or a node's where it gives one. Not before the newest event, nor far ahead of the server,
-- or one wrong clock would age everything. Where the newest event is far ahead of the server, the server's own clock was
-- set back.
local function time_of(now)
    local time = redis.call('TIME')
    local server = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    local most = server + CLOCK_SLACK
    now = math.min(tonumber(now) or server, most)
    if latest <= most then return math.max(now, latest) end
    latest, marked, set_back_at = now, now, now
    redis.pcall('HSET', meta, 'latest', text(now), 'marked', text(now), 'set_back_at', text(now))
    return now
end

-- Whether what carries a time that is yet to come was there at *time*: since then it ages.
local function is_ahead_since(time)
    return set_back_at > 0 and set_back_at <= time
end

-- Whether events are gone, or what is known of them, that nobody of ours removed.
local function is_damaged()
    if swept < given_up then return false end
    local size, known = redis.pcall('XLEN', events), redis.pcall('LLEN', prefix .. 'kept')
    return type(size) ~= 'number' or type(known) ~= 'number' or size < count or known < count
end

local function number_of(entry)
    return tonumber(string.match(entry[1], '^%d+'))
end

-- Raise the floor over what has grown too old. `ages` is a list of `time:number`: events up to the number were
-- kept before the time. There is one mark for a ten thousandth of the time that events are kept.
local function raise_floor(now, max_age)
    local step = math.max(1, math.floor(max_age / 10000))
    if latest >= marked and head > floor and math.floor(now / step) > math.floor(latest / step) then
        local added = redis.pcall('RPUSH', prefix .. 'ages', text(latest + 1) .. ':' .. text(head))
        if not (type(added) == 'table' and added.err) then marked = latest + 1 end  -- refused by a server that is full
    end
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
