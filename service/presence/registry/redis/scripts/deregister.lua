-- This node stops: its lease ends soon, so that its users have some time to join another.
-- ARGV: prefix, node, seconds.
if redis.call('EXISTS', own, to_notify) > 0 then
    redis.call('ZADD', nodes, now + tonumber(ARGV[3]), node)
else
    redis.call('ZREM', nodes, node)
end
return 1
