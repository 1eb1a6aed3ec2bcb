-- This node shuts down. Its lease ends soon, so that its users have some time to connect to another.
-- ARGV: prefix, node, seconds.
if redis.call('EXISTS', own_users, own_pending) > 0 then
    redis.call('ZADD', nodes, now + tonumber(ARGV[3]), node)
else
    redis.call('ZREM', nodes, node)
end
return 1
