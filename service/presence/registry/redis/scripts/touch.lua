-- Users of this node are active. ARGV: prefix, node, now, users...
for i = 4, #ARGV do
    if redis.call('SISMEMBER', own_users, ARGV[i]) == 1 then
        redis.call('HSET', activity, ARGV[i], ARGV[3])
    end
end
return 1
