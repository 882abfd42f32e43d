"""The msgspec Structs of the HTTP contract, defined once; used by the API, the dashboard, the CLI and the store."""
