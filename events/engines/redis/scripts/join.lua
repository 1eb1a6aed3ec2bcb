-- A node has connected. ARGV: prefix, the epoch and head it knows ('' and 0 at first), the server's run id, a new epoch
-- in case that one is needed, how many past epochs are remembered, how many keys the server has evicted ('' if it does
-- not say), 1 if the node has seen that something is missing. Answers: epoch, head, floor, the past epochs, how many
-- entries that are no events were removed, 1 if the store has lost something, and the keys in whose places others had put
-- something, which was moved to `foreign:KEY`.
-- The store is another one when it was never there. When the server was started anew, or has less than a node has
-- seen, nobody can say what it forgot: what it has is a beginning of what it had. So a new epoch begins there,
-- and the store remembers up to which number it is the one of the epoch before. Where something is missing from its
-- midst, nothing of it is replayed any more.
local known, past = tonumber(ARGV[3]), prefix .. 'epochs'

local foreign, is_gone = {}, false
for key, kind in pairs({[meta] = 'hash', [events] = 'stream', [prefix .. 'kept'] = 'list', [prefix .. 'ages'] = 'list', [past] = 'list'}) do
    local its = redis.call('TYPE', key).ok
    if its ~= 'none' and its ~= kind then
        put_aside(key)
        foreign[#foreign + 1] = key
        is_gone = is_gone or key == events or key == prefix .. 'kept'
    end
end
if #foreign > 0 then load() end

-- Take over what an earlier version kept, whose hash was called `store`. Its nodes can't go on beside: they would not put
-- events into the index. So there is a text of that name from now on, which their scripts fail at.
local before = prefix .. 'store'
if not epoch and redis.call('TYPE', before).ok == 'hash' then
    redis.call('RENAME', before, meta)
    load()
    swept, uncounted = floor, head
end
redis.call('SET', before, 'of an earlier version; see docs/operations.md, Upgrade')

local facts = redis.call('HMGET', meta, 'run_id', 'evicted')
local restarted = facts[1] ~= ARGV[4]
local evicted = tonumber(ARGV[7]) or 0
local lost = epoch and (is_gone or (ARGV[8] == '1' and epoch == ARGV[2]) or is_damaged() or evicted > (restarted and 0 or tonumber(facts[2] or evicted) or 0))

-- The highest number that the stream of events has seen.
local function newest()
    local info = redis.pcall('XINFO', 'STREAM', events)
    for i = 1, info.err and 0 or #info, 2 do
        if info[i] == 'last-generated-id' then return tonumber(string.match(info[i + 1], '^%d+')) end
    end
    return 0
end

-- What is above the head was put there by somebody else: it is no event, and no number could be given behind it. A
-- server does not take a stream's last number back, so the events get a stream of their own again (some seconds for a million).
local function remove_strays()
    local old, after, count = prefix .. 'strays', '-', 0
    redis.call('RENAME', events, old)
    while true do
        local entries = redis.call('XRANGE', old, after, '+', 'COUNT', 1000)
        for i = 1, #entries do
            local id, fields = entries[i][1], entries[i][2]
            if string.match(id, '%-0$') and fields[1] == 'e' and number_of(entries[i]) <= head then
                redis.call('XADD', events, id, unpack(fields))
            else
                count = count + 1
            end
            after = '(' .. id
        end
        if #entries < 1000 then break end
    end
    redis.call('UNLINK', old)
    return count
end

local strays, last = 0, newest()
if last > LARGEST and (damaged or not epoch) then  -- no number could be given behind it
    put_aside(events)
    foreign[#foreign + 1], last = events, 0
end
if damaged or not epoch then
    redis.call('DEL', past)
    head, floor = math.max(head, last), math.max(floor, last)
    uncounted, count, bytes = head, redis.call('LLEN', prefix .. 'kept'), 0
elseif last > head then
    strays = remove_strays()
end
if lost then
    redis.call('DEL', past)
    head = math.max(head, known)
    floor, uncounted, given_up = head, head, head
    count, bytes = redis.call('LLEN', prefix .. 'kept'), 0
    epoch = nil
elseif epoch and (restarted or (epoch == ARGV[2] and head < known)) then
    redis.call('RPUSH', past, text(head) .. ':' .. epoch)
    redis.call('LTRIM', past, -tonumber(ARGV[6]), -1)
    epoch = nil
end
if not epoch then
    epoch = ARGV[5]
    head = math.max(head, known)
end
redis.call('HDEL', meta, 'damaged')
redis.call('HSET', meta, 'epoch', epoch, 'head', text(head), 'floor', text(floor), 'run_id', ARGV[4], 'evicted', text(evicted),
    'latest', text(latest), 'set_back_at', text(set_back_at), 'marked', text(marked), 'swept', text(swept), 'count', text(count), 'bytes', text(bytes), 'uncounted', text(uncounted), 'given_up', text(given_up))
return {epoch, head, floor, redis.call('LRANGE', past, 0, -1), strays, lost and 1 or 0, foreign}
