-- This node has told of some. What another has to tell of them since is newer, and stays. ARGV: prefix, node, users...
for i = 3, #ARGV do
    if debtor(ARGV[i]) == node then redis.call('HDEL', untold, ARGV[i]) end
    redis.call('SREM', owed, ARGV[i])
end
return 1
