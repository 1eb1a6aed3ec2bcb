-- Older events for some routing keys, in order. ARGV: prefix, the node's channel, epoch, after which number, most
-- events, most bytes, then the keys. Answers: up to which number these are all there are, head, floor, then number
-- and body of each. The node is told how far the store is (see mark.lua).
if damaged or epoch ~= ARGV[3] then
    return redis.error_reply('EPOCH the store is another one')
end
local after, most, room = math.max(tonumber(ARGV[4]), floor), tonumber(ARGV[5]), tonumber(ARGV[6])
local bound, numbers = head, {}
for key = 7, #ARGV do
    local its = numbers_of(ARGV[key], after, most)
    for i = 1, #its do numbers[#numbers + 1] = its[i] end
    if #its >= most then bound = math.min(bound, its[#its]) end
end
if damaged then
    return redis.error_reply('MISSING the index of a key')
end
table.sort(numbers)
local answer = {0, head, floor}
local last = after
for i = 1, #numbers do
    local number = numbers[i]
    if number > bound then break end
    if number > last then
        if room <= 0 then
            bound = last
            break
        end
        last = number
        local found = redis.call('XRANGE', events, text(number), text(number))
        if not found[1] then  -- nobody of ours removes an event before its number
            return redis.error_reply('MISSING an event is gone that the index has')
        else
            answer[#answer + 1] = number
            answer[#answer + 1] = found[1][2][2]
            room = room - #found[1][2][2]
        end
    end
end
answer[1] = math.max(bound, after)
redis.call('PUBLISH', ARGV[2], text(head))
return answer
