"""Notifications: an outbox that events write to in their own transaction, and its delivery to targets."""
