-- Keep events and tell whoever listens: all or none, unless what others put under our keys fails one of them. ARGV:
-- prefix, epoch, the head that the node knows, now, max age and the age of idempotency keys in ms, most events and most
-- bytes, 1 if the oldest may go where the server is full, then for each append: how many events, and for each of these: its idempotency key or '', the fingerprint of what that is used
-- for or '', how many routing keys, these, and its body. An append that uses a key for something else is refused whole.
-- Answers: head, floor, then the number of each event; of a refused append -1 for those at fault and 0 for the rest.
if epoch ~= ARGV[2] or head < tonumber(ARGV[3]) then
    return redis.error_reply('EPOCH the store is another one')
end
local now, max_age, key_age = time_of(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local most, max_bytes, gives_way = tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9] == '1'
local answer, added, cost = {0, 0}, {}, 0
local before = head
raise_floor(now, max_age)
if is_damaged() then
    return redis.error_reply('EPOCH the store is damaged')
end

-- The number and fingerprint of an idempotency key; nothing if it is not known.
local function published(once)
    local known = redis.pcall('GET', prefix .. 'once:' .. once)
    if type(known) ~= 'string' then return nil end  -- what another has put there makes room when the key is kept
    local until_, number, fingerprint = string.match(known, '^(%d+):(%d+):?(.*)$')
    if not until_ then return nil end
    local left = tonumber(until_) - now
    if left <= 0 or (left > key_age + CLOCK_SLACK and is_ahead_since(now - key_age)) then return nil end
    return tonumber(number), fingerprint
end

-- Whether an event uses its key for something else than before; notes in `asked` what it is used for.
local function is_reused(at, asked)
    local once, fingerprint = ARGV[at], ARGV[at + 1]
    if once == '' then return false end
    local before = asked[once]
    if not before then
        local number, its = published(once)
        before = number and its or fingerprint
        asked[once] = before
    end
    return before ~= '' and fingerprint ~= '' and before ~= fingerprint
end

-- Keep the event that begins at ARGV[at]; its number, or that of the first with its idempotency key.
local function keep(at, keys)
    local once, fingerprint, body = ARGV[at], ARGV[at + 1], ARGV[at + 3 + keys]
    local known = once ~= '' and published(once)
    if known then return known end
    local number = text(head + 1)
    redis.call('XADD', events, number .. '-0', 'e', body)
    head, cost = head + 1, cost + 1 + keys
    local message = number .. '\n' .. body
    local names = table.concat(ARGV, '\n', at + 3, at + 2 + keys)
    local size = math.floor(1.1 * #body) + #names + EVENT_BYTES + ENTRY_BYTES * keys  -- a tenth for how allocators round
    added[#added + 1] = number .. ' ' .. text(size) .. '\n' .. names
    bytes = bytes + size
    for i = at + 3, at + 2 + keys do
        local key = ARGV[i]
        local index = prefix .. 'index:' .. key
        local size = redis.pcall('RPUSH', index, number)
        if type(size) == 'table' then
            put_index_aside(index)
            size = redis.call('RPUSH', index, number)
        end
        if size == 1 then
            bytes = bytes + INDEX_BYTES + 2 * #key
        end
        redis.call('PUBLISH', prefix .. 'for:' .. key, message)
    end
    if once ~= '' then -- not before it is kept, or a next try would be answered with what is not there
        redis.call('SET', prefix .. 'once:' .. once, text(now + key_age) .. ':' .. number .. ':' .. fingerprint, 'PX', text(key_age))
    end
    return head
end

-- Which events of an append use a key for something else; nothing if none does.
local function reused_of(starts)
    local asked, reused, any = {}, {}, false
    for i = 1, #starts do
        reused[i] = is_reused(starts[i], asked)
        any = any or reused[i]
    end
    return any and reused
end

local function is_full(fault)
    return string.find(type(fault) == 'table' and fault.err or tostring(fault), 'OOM', 1, true) ~= nil
end

-- Remove some of the oldest events from a server that is full: twice of what is to come. Once something was removed, the
-- server lets this script write.
local function make_room()
    local size = 65536
    for i = 10, #ARGV do size = size + 2 * #ARGV[i] end
    remove_old(bytes - size, 20000)
end

-- What another has put under our keys makes a call fail; the head must tell of all that was kept before that.
local fault
local at = 10
while at <= #ARGV and not fault do
    local starts, keyed = {}, false
    local size = tonumber(ARGV[at])
    at = at + 1
    for i = 1, size do
        starts[i] = at
        keyed = keyed or ARGV[at] ~= ''
        at = at + 4 + tonumber(ARGV[at + 2])
    end
    local reused = keyed and reused_of(starts)
    for i = 1, size do
        local well, number = true, nil
        if reused then
            number = reused[i] and -1 or 0
        else
            local keys = tonumber(ARGV[starts[i] + 2])
            well, number = pcall(keep, starts[i], keys)
            if not well and gives_way and head == before and is_full(number) then
                make_room()
                well, number = pcall(keep, starts[i], keys)
            end
        end
        if not well then
            fault = number
            break
        end
        answer[#answer + 1] = number
    end
end
for first = 1, #added, 1000 do  -- Lua hands over some thousands at the most
    redis.call('RPUSH', kept, unpack(added, first, math.min(first + 999, #added)))
end
count = count + #added
floor = math.max(floor, head - most)
remove_old(max_bytes, 2 * cost + 256)
redis.call('HSET', meta, 'head', text(head), 'floor', text(floor), 'latest', text(head > before and now or latest),
    'marked', text(marked), 'swept', text(swept), 'count', text(count), 'bytes', text(bytes))
if fault then
    local some = head > before and ' (some were kept)' or ''
    return redis.error_reply((type(fault) == 'table' and fault.err or tostring(fault)) .. some)
end
answer[1], answer[2] = head, floor
return answer
