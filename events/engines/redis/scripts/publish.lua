-- Keep events and tell whoever listens: all or none, unless what others put under our keys fails one of them. ARGV:
-- prefix, epoch, the head that the node knows, now, max age and the age of idempotency keys in ms, most events, then for
-- each event: its idempotency key or '', how many routing keys, these, and its body.
if epoch ~= ARGV[2] or head < tonumber(ARGV[3]) then
    return redis.error_reply('EPOCH the store is another one')
end
local now, max_age, key_age = time_of(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local most = tonumber(ARGV[7])
local answer = {0, 0}
local before = head
raise_floor(now, max_age)

-- Keep the event that begins at ARGV[at]; its number, or that of the first with its idempotency key.
local function keep(at, count)
    local once, body = ARGV[at], ARGV[at + 2 + count]
    local known = once ~= '' and redis.call('GET', prefix .. 'once:' .. once)
    if known then
        local until_, number = string.match(known, '^(%d+):(%d+)$')
        if until_ and tonumber(until_) > now then return tonumber(number) end
    end
    local number = text(head + 1)
    local oldest = text(math.max(floor, head + 1 - most) + 1)
    redis.call('XADD', events, 'MINID', '~', oldest, number .. '-0', 'e', body)
    head = head + 1
    floor = math.max(floor, head - most)
    local message = number .. '\n' .. body
    for key = at + 2, at + 1 + count do
        local index = prefix .. 'key:' .. ARGV[key]
        redis.call('XADD', index, 'MINID', '~', oldest, number .. '-0', '', '')
        redis.call('PEXPIRE', index, max_age + 60000)
        redis.call('PUBLISH', prefix .. 'for:' .. ARGV[key], message)
    end
    if once ~= '' then -- not before it is kept, or a next try would be answered with what is not there
        redis.call('SET', prefix .. 'once:' .. once, text(now + key_age) .. ':' .. number, 'PX', text(key_age))
    end
    return head
end

-- What another has put under our keys makes a call fail; the head must tell of all that was kept before that.
local fault
local at = 8
while at <= #ARGV do
    local count = tonumber(ARGV[at + 1])
    local well, number = pcall(keep, at, count)
    if not well then
        fault = number
        break
    end
    answer[#answer + 1] = number
    at = at + 3 + count
end
if head > before then
    -- One mark for a ten thousandth of the time that events are kept.
    local step = math.max(1, math.floor(max_age / 10000))
    local time = text((math.floor(now / step) + 1) * step)
    local newest = redis.call('LINDEX', prefix .. 'ages', -1)
    if newest and string.match(newest, '^%d+') == time then redis.call('RPOP', prefix .. 'ages') end
    redis.call('RPUSH', prefix .. 'ages', time .. ':' .. text(head))
end
redis.call('HSET', meta, 'head', text(head), 'floor', text(floor), 'latest', text(now))
if fault then
    return redis.error_reply(type(fault) == 'table' and fault.err or tostring(fault))
end
answer[1], answer[2] = head, floor
return answer
