-- Keeps a new session. ARGV: session, owner.
redis.call('HSET', h, 's', ARGV[3], 'o', ARGV[4])
touch(0)
return 'ok'
