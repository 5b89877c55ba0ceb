"""Files on disk: discovery, reading and writing, the cache, run folders and their tables."""
