"""The registry of many nodes, on Redis or Valkey. Imported only where the engine's URL says so (extra ``[redis]``)."""
