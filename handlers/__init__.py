"""How HTTP reaches the service: one module for each group of endpoints, and the aiohttp application."""
