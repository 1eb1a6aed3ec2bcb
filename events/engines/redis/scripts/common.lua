-- What the other scripts begin with. KEYS: the store's hash, its stream of events.
-- Of the hash: epoch, head (newest number), floor (gone up to this number), latest (time of the newest, ms), set_back_at
-- (when it was seen that the server's clock had been set back, ms; 0 if it never was), marked (time of the newest mark
-- of `ages`), swept (events up to this number were removed), count and bytes (of the others, as the list `kept` has them: how many,
-- and what memory they take, about), uncounted (events up to this number are not among those bytes), given_up (events
-- up to this number are not replayed, for something of them is missing), damaged (there where a script has met something of
-- somebody else's in the place of an index).
-- The index of a routing key is a list of numbers in order, `index:KEY`.
local meta, events, prefix = KEYS[1], KEYS[2], ARGV[1]
local epoch, head, floor, latest, set_back_at, marked, swept, count, bytes, uncounted, given_up
local damaged = false   -- what a script needs is not as ours left it: the store is to be joined anew, which puts it right
local LARGEST = 2 ^ 52  -- that any number of ours may be: above 2 ^ 53 Lua does not tell two neighbours apart

-- A number of ours; 0 for what is none.
local function number_in(field)
    local number = tonumber(field or 0)
    if number and number >= 0 and number <= LARGEST and number == math.floor(number) then return number end
    damaged = true
    return 0
end

local function load()
    local fields = redis.pcall('HMGET', meta, 'epoch', 'head', 'floor', 'latest', 'set_back_at', 'marked', 'swept', 'count', 'bytes', 'uncounted', 'given_up', 'damaged')
    damaged = fields.err ~= nil or (fields[12] or nil) ~= nil
    epoch = fields[1]
    head, floor, latest = number_in(fields[2]), number_in(fields[3]), number_in(fields[4])
    set_back_at, marked = number_in(fields[5]), number_in(fields[6])
    swept, count = number_in(fields[7]), number_in(fields[8])
    bytes, uncounted, given_up = number_in(fields[9]), number_in(fields[10]), number_in(fields[11])
end

-- Move what another has put in a key's place out of the way, to be looked at.
local function put_aside(key)
    redis.call('RENAME', key, prefix .. 'foreign:' .. string.sub(key, #prefix + 1))
end

-- The same for an index: its events can't be found any more, which the next who joins the store says.
local function put_index_aside(index)
    put_aside(index)
    redis.call('HSET', meta, 'damaged', '1')
    damaged = true
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
    local size, known = redis.pcall('XLEN', events), redis.pcall('LLEN', prefix .. 'kept')
    if damaged or type(size) ~= 'number' or type(known) ~= 'number' then return true end
    return swept >= given_up and (size < count or known < count)
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
        local oldest = redis.pcall('LINDEX', prefix .. 'ages', 0)
        if not oldest then break end
        if type(oldest) == 'table' then
            damaged = true
            break
        end
        local time, number = string.match(oldest, '^(%d+):(%d+)$')
        time, number = tonumber(time), tonumber(number)
        if time and number <= head then  -- else it is no mark of ours
            local is_old = time <= now - max_age
            if not is_old and not (time > now + CLOCK_SLACK and is_ahead_since(now - max_age)) then break end
            floor = math.max(floor, number)
        end
        redis.call('LPOP', prefix .. 'ages')
    end
end
