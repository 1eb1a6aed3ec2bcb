"""The presence registry of several nodes, on Redis or Valkey. Imported only if the engine's URL says so (extra ``[redis]``)."""
