-- Numbers of the newest events for some keys, so that a node can see whether it has heard them all. ARGV: prefix, the
-- node's channel, epoch, how many of each at the most, then each key and after which number. Answers: head, then
-- a list of numbers for each key. The node is told how far the store is (see mark.lua).
if damaged or epoch ~= ARGV[3] then
    return redis.error_reply('EPOCH the store is another one')
end
local answer = {head}
for at = 5, #ARGV, 2 do
    answer[#answer + 1] = numbers_of(ARGV[at], math.max(tonumber(ARGV[at + 1]), floor), tonumber(ARGV[4]))
end
if damaged then
    return redis.error_reply('MISSING the index of a key')
end
redis.call('PUBLISH', ARGV[2], text(head))
return answer
