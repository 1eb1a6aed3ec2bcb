"""What reads requests off a socket: limits, deadlines, the two hot requests; everything else goes to aiohttp."""
