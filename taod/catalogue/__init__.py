"""The catalogue: what each network is, takes and leaves behind. It stands on its own and acts on nothing."""
