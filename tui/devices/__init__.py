"""The devices: who holds them and how busy they are."""
