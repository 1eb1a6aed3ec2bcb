-- This node has sent the notifications of some users. A newer one that another node owns stays pending.
-- ARGV: prefix, node, users...
for i = 3, #ARGV do
    if owner_of(ARGV[i]) == node then redis.call('HDEL', pending, ARGV[i]) end
    redis.call('SREM', own_pending, ARGV[i])
end
return 1
