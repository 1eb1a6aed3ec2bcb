"""What the business does, one module for each capability. Knows events; knows nothing of HTTP."""
