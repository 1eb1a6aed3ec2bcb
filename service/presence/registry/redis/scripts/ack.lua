-- This node has notified for users. Newer pending entries of other nodes stay. ARGV: prefix, node, users...
for i = 3, #ARGV do
    if owner(ARGV[i]) == node then redis.call('HDEL', pending, ARGV[i]) end
    redis.call('SREM', to_notify, ARGV[i])
end
return 1
