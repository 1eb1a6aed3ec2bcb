-- Keep events, all or none, and tell whoever listens. ARGV: prefix, epoch, the head that the node knows, now,
-- max age and the age of idempotency keys in ms, most events, then for each event: its idempotency key or '',
-- how many routing keys, these, and its body.
if epoch ~= ARGV[2] or head < tonumber(ARGV[3]) then
    return redis.error_reply('EPOCH the store is another one')
end
local now, max_age, key_age = time_of(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local most = tonumber(ARGV[7])
local answer = {0, 0}
local before = head
raise_floor(now, max_age)
local at = 8
while at <= #ARGV do
    local once, count = ARGV[at], tonumber(ARGV[at + 1])
    local body = ARGV[at + 2 + count]
    local known = once ~= '' and redis.call('GET', prefix .. 'once:' .. once)
    if known then
        local until_, number = string.match(known, '^(%d+):(%d+)$')
        known = tonumber(until_) > now and number
    end
    if known then
        answer[#answer + 1] = tonumber(known)
    else
        head = head + 1
        floor = math.max(floor, head - most)
        local number, oldest = text(head), text(floor + 1)
        if once ~= '' then
            redis.call('SET', prefix .. 'once:' .. once, text(now + key_age) .. ':' .. number, 'PX', text(key_age))
        end
        redis.call('XADD', events, 'MINID', '~', oldest, number .. '-0', 'e', body)
        local message = number .. '\n' .. body
        for key = at + 2, at + 1 + count do
            local index = prefix .. 'key:' .. ARGV[key]
            redis.call('XADD', index, 'MINID', '~', oldest, number .. '-0', '', '')
            redis.call('PEXPIRE', index, max_age + 60000)
            redis.call('PUBLISH', prefix .. 'for:' .. ARGV[key], message)
        end
        answer[#answer + 1] = head
    end
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
answer[1], answer[2] = head, floor
return answer
