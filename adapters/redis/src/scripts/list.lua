-- Puts a session where all are named. KEYS: set, index, which share a slot. ARGV: its name, its place in the index.
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
