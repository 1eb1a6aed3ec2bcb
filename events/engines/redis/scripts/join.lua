-- A node has connected. ARGV: prefix, the epoch and head it knows ('' and 0 at first), the server's run id, a new epoch
-- in case that one is needed, how many past epochs are remembered.
-- The store is another one when it was never there. When the server was started anew, or has less than a node has
-- seen, nobody can say what it forgot: what it has is a beginning of what it had. So a new epoch begins there,
-- and the store remembers up to which number it is the one of the epoch before.
local restarted = redis.call('HGET', meta, 'run_id') ~= ARGV[4]
local known = tonumber(ARGV[3])
local past = prefix .. 'epochs'

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
if not epoch then
    redis.call('DEL', past)
    head, floor = math.max(head, last), math.max(floor, last)
elseif last > head then
    strays = remove_strays()
end
if epoch and (restarted or (epoch == ARGV[2] and head < known)) then
    redis.call('RPUSH', past, text(head) .. ':' .. epoch)
    redis.call('LTRIM', past, -tonumber(ARGV[6]), -1)
    epoch = nil
end
if not epoch then
    epoch = ARGV[5]
    head = math.max(head, known)
end
redis.call('HSET', meta, 'epoch', epoch, 'head', text(head), 'floor', text(floor), 'run_id', ARGV[4])
return {epoch, head, floor, redis.call('LRANGE', past, 0, -1), strays}
